import { createHmac } from "node:crypto";

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

function base32(bytes: Uint8Array, characters: number): string {
  let out = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xffff;
    bits += 8;
    while (bits >= 5 && out.length < characters) {
      bits -= 5;
      out += BASE32[(value >>> bits) & 31];
    }
  }
  return out;
}

export interface RouteSubject {
  readonly namespace: string;
  readonly service: string;
  /** Of the Service. */
  readonly port: number;
  /** Id of the endpoint. */
  readonly endpoint: string;
}

/**
 * The TLS SNI under which `cluster`'s gateway relays to one endpoint for one peer:
 * `<26 base32 characters of HMAC-SHA-256(link secret, …)>.<cluster>.mesh`. Unguessable without the secret.
 */
export function routeName(linkSecret: Uint8Array, subject: RouteSubject, epoch: bigint, cluster: string): string {
  const text = [subject.namespace, subject.service, subject.port, subject.endpoint, epoch].join("\0");
  return `${base32(createHmac("sha256", linkSecret).update(text).digest(), 26)}.${cluster}.mesh`;
}
