import assert from "node:assert/strict";
import { TLSSocket } from "node:tls";
import { systemClock } from "../core/clock.ts";
import { hasCode } from "../core/errors.ts";
import { checkNodeTls } from "./node-tls-check.ts";

describe("checkNodeTls()", () => {
  it("finds this Node sound", async () => {
    await checkNodeTls(systemClock.wallMs());
  });

  it("refuses a Node whose servers see the leaf only, and names versions that do better", async () => {
    const original = TLSSocket.prototype.getPeerX509Certificate;
    TLSSocket.prototype.getPeerX509Certificate = function (this: TLSSocket) {
      const certificate = original.call(this);
      if (certificate !== undefined) Object.defineProperty(certificate, "issuerCertificate", { value: undefined });
      return certificate;
    };
    try {
      await assert.rejects(checkNodeTls(systemClock.wallMs()), (error) => hasCode(error, "NODE_UNSUITABLE"));
    } finally {
      TLSSocket.prototype.getPeerX509Certificate = original;
    }
  });
});
