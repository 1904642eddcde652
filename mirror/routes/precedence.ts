import type { AttachedRule, RouteMatch } from "../../core/route.ts";
import type { RouteObject } from "../../kube/gateway-api.ts";
import type { DraftRule } from "./rules.ts";

/** A route as it is attached to one service. */
export interface Attachment {
  readonly route: RouteObject;
  readonly rules: readonly DraftRule[];
  /** Ports of the service; none: all. */
  readonly ports: readonly number[];
}

/** Oldest first, then by namespace and name, as Gateway API settles ties and who comes first. */
export function byAge(a: RouteObject, b: RouteObject): number {
  const text = ({ metadata: { creationTimestamp = "", namespace = "", name } }: RouteObject) =>
    [creationTimestamp, `${namespace}/${name}`] as const;
  const [createdA, nameA] = text(a);
  const [createdB, nameB] = text(b);
  return compare(createdA, createdB) || compare(nameA, nameB);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

interface Candidate {
  readonly attachment: Attachment;
  readonly draft: DraftRule;
  readonly match: RouteMatch;
  readonly rank: readonly number[];
}

/**
 * All rules in the order in which they are to be tried. Each match has a place of its own, so a rule whose matches are
 * not neighbours appears several times, under one name. gRPC comes first: of two kinds of route the more specific one
 * is asked first (GEP-1426), and only gRPC requests match it.
 */
export function byPrecedence(attachments: readonly Attachment[]): AttachedRule[] {
  const candidates = attachments.flatMap((attachment) =>
    attachment.rules.flatMap((draft) =>
      draft.matches.map(({ match, rank }): Candidate => ({ attachment, draft, match, rank })),
    ),
  );
  // The sort is stable: within a route, the order of the rules and of their matches stays.
  candidates.sort(
    (a, b) =>
      Number(b.draft.rule.grpc) - Number(a.draft.rule.grpc) ||
      byRank(a.rank, b.rank) ||
      byAge(a.attachment.route, b.attachment.route),
  );
  const rules: AttachedRule[] = [];
  let last: { draft: DraftRule; matches: RouteMatch[] } | undefined;
  for (const { attachment, draft, match } of candidates) {
    if (last?.draft === draft) {
      last.matches.push(match);
      continue;
    }
    last = { draft, matches: [match] };
    rules.push({ ports: attachment.ports, rule: { ...draft.rule, matches: last.matches } });
  }
  return rules.map(({ ports, rule }) =>
    rule.matches.some(isEmpty) ? { ports, rule: { ...rule, matches: [] } } : { ports, rule },
  );
}

function byRank(a: readonly number[], b: readonly number[]): number {
  for (const [index, number] of a.entries()) {
    const difference = (b[index] ?? 0) - number;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether every request matches. */
function isEmpty({ path, method, headers, query }: RouteMatch): boolean {
  return path === undefined && method === "" && headers.length === 0 && query.length === 0;
}
