import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type TLSSocket } from "node:tls";
import { errorText, MeshError } from "../core/errors.ts";
import { identityOf, parseTrustDomain } from "../core/identity.ts";
import { createIssuer, createKeyPair, createLeaf, createRoot, pemOf } from "./certificate.ts";

const LIMIT_MS = 10_000;

/**
 * Does one mutual handshake over loopback with certificates of its own, and looks whether the server sees what the
 * client sent between its leaf and the root: no peer can be verified without it. Node 24.21 and 26.8 do not show it
 * (nodejs/node issue 65579). Some 20 ms. @throws MeshError NODE_UNSUITABLE
 */
export async function checkNodeTls(nowMs: number): Promise<void> {
  const trustDomain = parseTrustDomain("self-test.invalid");
  const root = await createRoot(trustDomain, nowMs);
  const issuer = await createIssuer(trustDomain, root, nowMs);
  const { publicKey, privateKey } = await createKeyPair();
  const leaf = createLeaf(identityOf(trustDomain, "self-test", "self-test"), publicKey, issuer, nowMs);
  const both = {
    ca: pemOf([root.certificate]),
    cert: pemOf([leaf, issuer.certificate]),
    key: privateKey.export({ type: "pkcs8", format: "pem" }),
    minVersion: "TLSv1.3",
  } as const;
  const server = createServer({ ...both, requestCert: true, rejectUnauthorized: true });
  server.listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const signal = AbortSignal.timeout(LIMIT_MS);
  const client = connect({ ...both, host: "127.0.0.1", port, checkServerIdentity: () => undefined });
  client.on("error", () => {});
  try {
    const [socket] = (await once(server, "secureConnection", { signal })) as [TLSSocket];
    const seen = socket.getPeerX509Certificate()?.issuerCertificate?.raw;
    socket.destroy();
    if (seen?.equals(issuer.certificate.raw) !== true)
      throw new Error("a server does not see its client's whole chain");
  } catch (error) {
    throw new MeshError(
      "NODE_UNSUITABLE",
      `Cannot do mutual TLS on Node ${process.version}: ${errorText(error)}. Use Node 20, 22, or 24 up to 24.20.`,
      { cause: error },
    );
  } finally {
    client.destroy();
    server.close();
  }
}
