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
    };

export type LoadAnswer =
  | { readonly kind: "app"; readonly port: number }
  | ({ readonly kind: "http" } & HttpLoadResult)
  | { readonly kind: "failed"; readonly reason: string };
