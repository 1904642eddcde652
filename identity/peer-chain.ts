import type { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from "node:tls";
import { parseCertificate } from "./certificate.ts";

const MAX_SHOWN = 8;
/** `[3] EXPLICIT` of OpenSSL's SSL_SESSION: the peer's certificate. */
const PEER_TAG = 0xa3;

/**
 * DER of the certificate that the peer proved in the handshake, or in the one that this session resumes; undefined
 * where it showed none. Node 20 has no other way that works on both sides: a client's resumed session shows no
 * certificate at all, and on clients `getPeerX509Certificate()` takes the chain away from whoever asks next.
 */
export function peerLeaf(socket: TLSSocket): Buffer | undefined {
  const session = socket.getSession();
  const fromSession = session === undefined ? undefined : leafInSession(session);
  if (fromSession !== undefined) return fromSession;
  const shown: Partial<PeerCertificate> = socket.getPeerCertificate();
  return shown.raw;
}

/** Walks the fields of SSL_SESSION up to the peer. */
function leafInSession(session: Buffer): Buffer | undefined {
  let at = fieldAt(session, 0)?.start ?? session.length;
  while (at < session.length) {
    const field = fieldAt(session, at);
    if (field === undefined) return undefined;
    if (session[at] === PEER_TAG) return Buffer.from(session.subarray(field.start, field.end));
    at = field.end;
  }
  return undefined;
}

/** Where the content of the DER value at `at` starts and ends. */
function fieldAt(der: Buffer, at: number): { start: number; end: number } | undefined {
  const short = der[at + 1];
  if (short === undefined) return undefined;
  const octets = short < 0x80 ? 0 : short - 0x80;
  if (octets > 4 || at + 2 + octets > der.length) return undefined;
  const length = octets === 0 ? short : der.readUIntBE(at + 2, octets);
  const start = at + 2 + octets;
  return start + length > der.length ? undefined : { start, end: start + length };
}

/** What the peer showed, leaf first; after a resumption the leaf alone, and empty where it showed nothing. */
export function peerChain(socket: TLSSocket): X509Certificate[] {
  const leaf = peerLeaf(socket);
  if (leaf === undefined) return [];
  const above = chainFrom(socket.getPeerCertificate(true)).filter(({ raw }) => !raw.equals(leaf));
  return [parseCertificate(leaf), ...above];
}

/** A chain as Node links it, leaf first. */
export function chainFrom(leaf: PeerCertificate | DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let at: PeerCertificate | DetailedPeerCertificate | undefined = leaf;
  while (at?.raw !== undefined && chain.length < MAX_SHOWN) {
    chain.push(parseCertificate(at.raw));
    const issuer: DetailedPeerCertificate | undefined = "issuerCertificate" in at ? at.issuerCertificate : undefined;
    at = issuer === at ? undefined : issuer;
  }
  return chain;
}
