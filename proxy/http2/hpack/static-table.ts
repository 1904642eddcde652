const NAMES_AND_VALUES = [
  ":authority=|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https",
  ":status=200|:status=204|:status=206|:status=304|:status=400|:status=404|:status=500",
  "accept-charset=|accept-encoding=gzip, deflate|accept-language=|accept-ranges=|accept=",
  "access-control-allow-origin=|age=|allow=|authorization=|cache-control=|content-disposition=",
  "content-encoding=|content-language=|content-length=|content-location=|content-range=|content-type=",
  "cookie=|date=|etag=|expect=|expires=|from=|host=|if-match=|if-modified-since=|if-none-match=|if-range=",
  "if-unmodified-since=|last-modified=|link=|location=|max-forwards=|proxy-authenticate=|proxy-authorization=",
  "range=|referer=|refresh=|retry-after=|server=|set-cookie=|strict-transport-security=|transfer-encoding=",
  "user-agent=|vary=|via=|www-authenticate=",
].join("|");

/** Name and value by index minus 1 (RFC 7541 appendix A). */
export const STATIC_ENTRIES: readonly (readonly [name: string, value: string])[] = NAMES_AND_VALUES.split("|").map(
  (entry) => {
    const at = entry.indexOf("=");
    return [entry.slice(0, at), entry.slice(at + 1)];
  },
);

/** Entries of the static table; the dynamic table's first index is one more (RFC 7541 section 2.3.3). */
export const STATIC_COUNT = STATIC_ENTRIES.length;

/** The lowest index of each name. */
export const STATIC_NAME_INDEX: ReadonlyMap<string, number> = new Map(
  STATIC_ENTRIES.map(([name], i) => [name, i + 1] as const).reverse(),
);
