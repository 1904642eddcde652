import type { X509Certificate } from "node:crypto";
import { CA_NAMESPACE } from "../../core/defaults.ts";
import { asMeshError, MeshError } from "../../core/errors.ts";
import type { TrustDomain } from "../../core/identity.ts";
import { parseCertificates, parsePrivateKey, pemOf, type Signer } from "../../identity/certificate.ts";
import { checkRoot, checkSigner } from "../../identity/svid-rules.ts";
import { apiVersionOf, SECRETS, type Secret } from "../../kube/resources.ts";

/** Secrets in CA_NAMESPACE. */
export const CA_SECRET = "causeway-ca";
export const CA_ROOT_SECRET = "causeway-ca-root";

/** A path of four at most has two certificates between leaf and root. */
const MAX_CERTIFICATES = 3;

/** What signs leaves, and what it rests on. */
export interface Issuer {
  readonly signer: Signer;
  /** The issuer's certificate and those between it and the root, without the root. */
  readonly chain: readonly X509Certificate[];
  readonly root: X509Certificate;
}

/** The fields of a Secret in our own layout, and in that of cert-manager (type kubernetes.io/tls). */
const LAYOUTS = {
  root: [
    ["root.crt", "root.key"],
    ["tls.crt", "tls.key"],
  ],
  issuer: [
    ["issuer.crt", "issuer.key", "root.crt"],
    ["tls.crt", "tls.key", "ca.crt"],
  ],
} as const;

/**
 * The issuer in a Secret: `issuer.crt` (with what lies between it and the root), `issuer.key`, `root.crt`; or
 * `tls.crt`, `tls.key`, `ca.crt` as cert-manager writes them. An issuer may be the root itself.
 * @throws MeshError CA_UNAVAILABLE, without a word of the key
 */
export function readIssuer(secret: Secret, trustDomain: TrustDomain): Issuer {
  return read(secret, () => {
    const [certificates, key, roots] = fields(secret, LAYOUTS.issuer);
    const [root] = parseCertificates(roots, 1);
    if (root === undefined) throw new MeshError("CA_UNAVAILABLE", "it has no root");
    checkRoot(root, trustDomain);
    const path = parseCertificates(certificates, MAX_CERTIFICATES + 1);
    const chain = path.filter((certificate) => !certificate.raw.equals(root.raw));
    const signer = signerOf(path, key);
    let below = 0;
    for (const [i, certificate] of chain.entries()) {
      const issuer = chain[i + 1] ?? root;
      if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
        throw new MeshError("CA_UNAVAILABLE", `certificate ${i + 1} of its chain is not signed by the next`);
      }
      checkSigner(certificate, trustDomain, below++);
    }
    checkSigner(root, trustDomain, below);
    return { signer, chain, root };
  });
}

/** A root with its key: `root.crt` and `root.key`, or `tls.crt` and `tls.key`. @throws MeshError CA_UNAVAILABLE */
export function readRoot(secret: Secret, trustDomain: TrustDomain): Signer {
  return read(secret, () => {
    const [certificate, key] = fields(secret, LAYOUTS.root);
    const signer = signerOf(parseCertificates(certificate, 1), key);
    checkRoot(signer.certificate, trustDomain);
    return signer;
  });
}

function signerOf([certificate]: readonly X509Certificate[], key: string): Signer {
  const privateKey = parsePrivateKey(key);
  if (certificate === undefined || !certificate.checkPrivateKey(privateKey))
    throw new MeshError("CA_UNAVAILABLE", "its key is not that of its certificate");
  return { certificate, privateKey };
}

function read<T>(secret: Secret, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const { message } = asMeshError(error, "CA_UNAVAILABLE", "read the CA");
    const place = `Secret ${secret.metadata.namespace ?? ""}/${secret.metadata.name}`;
    throw new MeshError(
      "CA_UNAVAILABLE",
      `Cannot use the CA in ${place}: ${message.replace(/\.$/, "")}. Restore it; see mesh trust status.`,
      { cause: error },
    );
  }
}

/** The texts of the first layout that the Secret has whole. */
function fields(secret: Secret, layouts: readonly (readonly string[])[]): [string, string, string] {
  const data = secret.data ?? {};
  const layout = layouts.find((keys) => keys.every((key) => data[key] !== undefined));
  if (layout === undefined) {
    const lacks = layouts[0]?.filter((key) => data[key] === undefined) ?? [];
    throw new MeshError("CA_UNAVAILABLE", `it lacks ${lacks.join(", ")}`);
  }
  const [first = "", second = "", third = ""] = layout.map((key) => Buffer.from(data[key] ?? "", "base64").toString());
  return [first, second, third];
}

/** The Secret of an issuer, in our layout. */
export function issuerSecret(name: string, { signer, chain, root }: Issuer): Secret {
  return secretOf(name, {
    "root.crt": pemOf([root]),
    "issuer.crt": pemOf(chain.length === 0 ? [root] : chain),
    "issuer.key": keyPem(signer),
  });
}

/** The Secret of a root, in our layout. */
export function rootSecret(name: string, root: Signer): Secret {
  return secretOf(name, { "root.crt": pemOf([root.certificate]), "root.key": keyPem(root) });
}

function secretOf(name: string, data: Readonly<Record<string, string>>): Secret {
  const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]);
  return {
    apiVersion: apiVersionOf(SECRETS),
    kind: SECRETS.kind,
    metadata: { name, namespace: CA_NAMESPACE },
    type: "Opaque",
    data: Object.fromEntries(encoded),
  };
}

function keyPem(signer: Signer): string {
  return signer.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}
