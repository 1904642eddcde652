import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import { TokenBucket } from "./token-bucket.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Events told apart; more share one bucket. */
const MAX_EVENTS = 64;

/**
 * `log` for what somebody else can cause at will: of each event `burst` lines at once and `perMinute` after that. The
 * next line of the event that is written says in `suppressed` how many were not.
 */
export function limitLog(log: Log, clock: Clock, burst = 10, perMinute = 6): Log {
  const events = new Map<string, { bucket: TokenBucket; suppressed: number }>();
  const limited =
    (write: (event: string, fields?: Fields) => void) =>
    (event: string, fields: Fields = {}): void => {
      const name = events.has(event) || events.size < MAX_EVENTS ? event : "";
      const state = events.get(name) ?? { bucket: new TokenBucket(clock, perMinute / 60, burst), suppressed: 0 };
      events.set(name, state);
      if (!state.bucket.take()) {
        state.suppressed++;
        return;
      }
      const { suppressed } = state;
      state.suppressed = 0;
      write(event, suppressed === 0 ? fields : { ...fields, suppressed });
    };
  return {
    debug: limited((event, fields) => log.debug(event, fields)),
    info: limited((event, fields) => log.info(event, fields)),
    warn: limited((event, fields) => log.warn(event, fields)),
    error: limited((event, fields) => log.error(event, fields)),
    child: (fields) => limitLog(log.child(fields), clock, burst, perMinute),
  };
}
