// Original file: protos/causeway/identity/v1/identity.proto

import { defineMethod, type Schema } from "../../codec.ts";
import type { CertifyRequest } from "../causeway/identity/v1/CertifyRequest.ts";
import type { CertifyResponse__Output } from "../causeway/identity/v1/CertifyResponse.ts";
import type { TrustState__Output } from "../causeway/identity/v1/TrustState.ts";
import type { WatchTrustRequest } from "../causeway/identity/v1/WatchTrustRequest.ts";

export const MESSAGES: Schema = {
  CertifyRequest: [
    {"id":1,"name":"csr","kind":"bytes"},
    {"id":2,"name":"token","kind":"string"},
  ],
  CertifyResponse: [
    {"id":1,"name":"chain","kind":"bytes","repeated":true},
    {"id":2,"name":"notAfterMs","kind":"int64"},
    {"id":3,"name":"trust","kind":"message","message":"TrustState"},
  ],
  WatchTrustRequest: [],
  TrustState: [
    {"id":1,"name":"bundles","kind":"message","repeated":true,"message":"TrustBundle"},
  ],
  TrustBundle: [
    {"id":1,"name":"trustDomain","kind":"string"},
    {"id":2,"name":"sequence","kind":"uint64"},
    {"id":3,"name":"x509Authorities","kind":"bytes","repeated":true},
    {"id":4,"name":"cluster","kind":"string"},
  ],
};

export const CERTIFY = defineMethod<CertifyRequest, CertifyResponse__Output>("/causeway.identity.v1.Identity/Certify", MESSAGES, "CertifyRequest", "CertifyResponse");
export const WATCH_TRUST = defineMethod<WatchTrustRequest, TrustState__Output>("/causeway.identity.v1.Identity/WatchTrust", MESSAGES, "WatchTrustRequest", "TrustState");
