import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { asMeshError, MeshError } from "../core/errors.ts";
import { type Identity, parseIdentity } from "../core/identity.ts";
import { createKeyPair, distinguishedName, ecdsaWithSha256, publicKeyInfo } from "./certificate.ts";
import { bitString, bytesOf, children, contextOf, decode, encode, integer, oidOf, sequence, TAG } from "./der.ts";
import { extension, extensionRequest, OID, readAltNames, readExtensions, uriName } from "./x509-extension.ts";

const MAX_CSR_BYTES = 8 * 1024;

/** A new key and a request for `identity` (PKCS #10, RFC 2986). */
export async function createCsr(identity: Identity): Promise<{ privateKey: KeyObject; csrDer: Buffer }> {
  const { publicKey, privateKey } = await createKeyPair();
  const request = extensionRequest(extension(OID.subjectAltName, false, uriName(identity)));
  const info = sequence(integer(Uint8Array.of(0)), distinguishedName(), publicKeyInfo(publicKey), request);
  const signature = sign("sha256", encode(info), privateKey);
  return { privateKey, csrDer: encode(sequence(info, ecdsaWithSha256(), bitString(signature))) };
}

export interface CertificateRequest {
  readonly identity: Identity;
  readonly publicKey: KeyObject;
}

/**
 * Reads a request: at most 8 KiB, P-256 and ECDSA with SHA-256 only, signed by its own key, exactly one URI among
 * its alternative names and nothing else. Other extensions are ignored: an issuer chooses them.
 * @throws MeshError CSR_INVALID
 */
export function parseCsr(der: Uint8Array): CertificateRequest {
  try {
    return read(der);
  } catch (error) {
    const cause = asMeshError(error, "CSR_INVALID", "read the certificate request");
    if (cause.code === "CSR_INVALID") throw cause;
    throw new MeshError("CSR_INVALID", `Cannot accept certificate request: ${cause.message}`, { cause });
  }
}

function read(der: Uint8Array): CertificateRequest {
  const [info, algorithm, signature] = fieldsOf(der);
  if (info === undefined || oidOf(children(algorithm)[0]) !== OID.ecdsaWithSha256)
    throw refused("it is not signed by ECDSA with SHA-256");
  const fields = children(info);
  const version = bytesOf(fields[0], TAG.integer);
  if (fields.length !== 4 || version.length !== 1 || version[0] !== 0)
    throw refused("its version or its fields are not those of PKCS #10");
  const keyInfo = fields[2];
  if (keyInfo === undefined) throw refused("it has no key");
  const publicKey = createPublicKey({ key: encode(keyInfo), format: "der", type: "spki" });
  if (publicKey.asymmetricKeyDetails?.namedCurve !== "prime256v1") throw refused("its key is not ECDSA P-256");
  const bits = bytesOf(signature, TAG.bitString);
  if (bits[0] !== 0 || !verify("sha256", encode(info), publicKey, bits.subarray(1)))
    throw refused("its signature is wrong");
  return { identity: requestedIdentity(fields[3]), publicKey };
}

function fieldsOf(der: Uint8Array): ReturnType<typeof children> {
  const fields = children(decode(der, MAX_CSR_BYTES));
  if (fields.length !== 3) throw refused("it is not a PKCS #10 request");
  return fields;
}

function requestedIdentity(attributes: Parameters<typeof contextOf>[0]): Identity {
  const tagged = contextOf(attributes);
  if (tagged === undefined || tagged.tag !== 0 || Buffer.isBuffer(tagged.value)) throw refused("it has no attributes");
  const requests = tagged.value
    .map((attribute) => children(attribute))
    .filter((parts) => oidOf(parts[0]) === OID.extensionRequest);
  const values = requests.length === 1 ? children(requests[0]?.[1], TAG.set) : [];
  if (values.length !== 1) throw refused("it asks for extensions more or less than once");
  const { uris, others } = readAltNames(readExtensions(values[0]).get(OID.subjectAltName));
  const [uri] = uris;
  if (uri === undefined || uris.length !== 1 || others !== 0)
    throw refused("it must name exactly one URI and no other name");
  return parseIdentity(uri);
}

function refused(what: string): MeshError {
  return new MeshError("CSR_INVALID", `Cannot accept certificate request: ${what}.`);
}
