import type {
  Client,
  ClientDuplexStream,
  ClientReadableStream,
  ClientUnaryCall,
  ClientWritableStream,
  Metadata,
  requestCallback,
  ServiceDefinition,
} from "@grpc/grpc-js";
import { loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface Words {
  readonly text: string;
  readonly times: number;
}

export interface EchoClient extends Client {
  Say(
    words: Partial<Words>,
    metadata: Metadata,
    options: { deadline?: number },
    callback: requestCallback<Words>,
  ): ClientUnaryCall;
  Count(words: Partial<Words>): ClientReadableStream<Words>;
  Sum(callback: requestCallback<Words>): ClientWritableStream<Partial<Words>>;
  Chat(): ClientDuplexStream<Partial<Words>, Words>;
}

interface EchoPackage {
  readonly Echo: (new (
    address: string,
    credentials: unknown,
    options?: object,
  ) => EchoClient) & { readonly service: ServiceDefinition };
}

/** The service that the gRPC pod of tests serves. */
export function loadEcho(): EchoPackage {
  const definition = loadSync(new URL("echo.proto", import.meta.url).pathname, { defaults: true });
  return (loadPackageDefinition(definition) as unknown as { readonly echo: EchoPackage }).echo;
}
