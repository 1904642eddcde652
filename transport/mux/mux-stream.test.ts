import { byteStreamContract } from "../byte-stream.contract.ts";

byteStreamContract("handle", "tcp", true);
byteStreamContract("handle", "tls", true);
byteStreamContract("net", "tcp", true);
