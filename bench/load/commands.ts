import type { ConnectionLoadResult } from "./connection-load.ts";
import type { HttpLoadResult } from "./http-load.ts";

/** What the load process is asked for, over the channel of its parent. Buffers travel as base64. */
export type LoadCommand =
  | { readonly kind: "app"; readonly bodyBytes: number }
  | {
      readonly kind: "http";
      readonly port: number;
      readonly prologue: string;
      readonly request: string;
      readonly bodyBytes: number;
      readonly connections: number;
      readonly warmUpSeconds: number;
      readonly seconds: number;
      readonly rate: number;
    }
  | {
      readonly kind: "connections";
      readonly port: number;
      readonly opening: string;
      readonly bodyBytes: number;
      readonly concurrency: number;
      readonly seconds: number;
    }
  | {
      readonly kind: "bulk";
      readonly port: number;
      readonly opening: string;
      readonly connections: number;
      readonly seconds: number;
    };

export type LoadAnswer =
  | { readonly kind: "app"; readonly port: number }
  | ({ readonly kind: "http" } & HttpLoadResult)
  | ({ readonly kind: "connections" } & ConnectionLoadResult)
  | { readonly kind: "bulk"; readonly bytes: number; readonly seconds: number }
  | { readonly kind: "failed"; readonly reason: string };
