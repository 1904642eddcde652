// The one module of node-forge that is used: loading the package's index would cost every proxy its memory.
declare module "node-forge/lib/asn1.js" {
  export interface Asn1 {
    readonly tagClass: number;
    readonly type: number;
    readonly constructed: boolean;
    /** Latin-1 "binary" text, or children. */
    readonly value: string | Asn1[];
  }
  interface Asn1Module {
    create(tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1[]): Asn1;
    fromDer(bytes: string, options: { strict: boolean; decodeBitStrings: boolean; maxDepth: number }): Asn1;
    toDer(node: Asn1): { getBytes(): string };
    oidToDer(oid: string): { getBytes(): string };
    derToOid(bytes: string): string;
  }
  const asn1: Asn1Module;
  // biome-ignore lint/style/noDefaultExport: what `module.exports` of a CommonJS module is to an importer
  export default asn1;
}
