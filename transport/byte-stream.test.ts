import { byteStreamContract } from "./byte-stream.contract.ts";

for (const adapter of ["handle", "net"] as const) {
  for (const variant of ["tcp", "unix", "tls"] as const) byteStreamContract(adapter, variant);
}
byteStreamContract("handle", "pair");
byteStreamContract("handle", "pair", true);
