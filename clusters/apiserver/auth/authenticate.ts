import { X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { type ServiceAccountTokens, sameSecret, type User } from "./tokens.ts";

const ADMIN_USER: User = {
  name: "admin",
  uid: "",
  groups: ["system:masters", "system:authenticated"],
  extra: {},
};

export interface Authenticator {
  /** Undefined for a request without credentials, or with bad ones. */
  authenticate(request: IncomingMessage): User | undefined;
}

interface AuthenticatorOptions {
  readonly caPem: string;
  readonly adminToken: string;
  readonly tokens: ServiceAccountTokens;
  readonly wallMs: () => number;
}

/** By client certificate (CN is the user, O its groups) or bearer token. */
export function createAuthenticator({ caPem, adminToken, tokens, wallMs }: AuthenticatorOptions): Authenticator {
  const ca = new X509Certificate(caPem);
  // A connection's certificate does not change: read it once per socket.
  const bySocket = new WeakMap<TLSSocket, { readonly user: User; readonly untilMs: number } | null>();

  const fromCertificate = (socket: TLSSocket): User | undefined => {
    let known = bySocket.get(socket);
    if (known === undefined) {
      known = readCertificate(socket, ca) ?? null;
      bySocket.set(socket, known);
    }
    return known !== null && known.untilMs > wallMs() ? known.user : undefined;
  };

  return {
    authenticate(request) {
      const header = request.headers.authorization;
      if (header !== undefined) {
        const [scheme = "", token = ""] = header.split(" ");
        if (scheme.toLowerCase() !== "bearer" || token === "") return undefined;
        if (sameSecret(token, adminToken)) return ADMIN_USER;
        const checked = tokens.check(token, [tokens.issuer]);
        return typeof checked === "string" ? undefined : checked.user;
      }
      return request.socket instanceof TLSSocket ? fromCertificate(request.socket) : undefined;
    },
  };
}

function readCertificate(socket: TLSSocket, ca: X509Certificate): { user: User; untilMs: number } | undefined {
  const { raw } = socket.getPeerCertificate();
  if (raw === undefined) return undefined;
  const certificate = new X509Certificate(raw);
  if (certificate.ca || !certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) return undefined;
  if (Date.parse(certificate.validFrom) > Date.now()) return undefined;
  if (certificate.keyUsage !== undefined && !certificate.keyUsage.includes("1.3.6.1.5.5.7.3.2")) return undefined;
  let name = "";
  const groups: string[] = [];
  for (const line of certificate.subject.split("\n")) {
    const cut = line.indexOf("=");
    const value = line.slice(cut + 1);
    if (line.startsWith("CN=")) name = value;
    if (line.startsWith("O=")) groups.push(value);
  }
  if (name === "") return undefined;
  return {
    user: { name, uid: "", groups: [...groups, "system:authenticated"], extra: {} },
    untilMs: Date.parse(certificate.validTo),
  };
}
