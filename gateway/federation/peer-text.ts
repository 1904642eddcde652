/** What a peer wrote, fit for a condition or a terminal: printable ASCII on one line, at most `max` characters. */
export function peerText(text: string, max: number): string {
  return text.slice(0, max).replace(/[^\x20-\x7e]/g, "?");
}
