import { isIP } from "node:net";

/**
 * An IP address in the one form in which addresses are compared: IPv6 as RFC 5952 has it, an IPv4 address mapped into
 * IPv6 as IPv4. Undefined for what is no address.
 */
export function canonicalAddress(text: string): string | undefined {
  switch (isIP(text)) {
    case 4:
      return text;
    case 6: {
      // A scope names an interface of one machine, and URLs take none.
      if (text.includes("%")) return undefined;
      const address = new URL(`http://[${text}]/`).hostname.slice(1, -1);
      const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address) ?? [];
      if (high === undefined || low === undefined) return address;
      const bits = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low, 16);
      return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join(".");
    }
    default:
      return undefined;
  }
}
