import { InvalidArgumentError } from "commander";
import { HEALTH } from "../../core/defaults.ts";
import { parseDuration } from "../../core/duration.ts";
import type { HealthSettings } from "../../gateway/federation/link-health.ts";

type Setting = keyof typeof HEALTH;

const NAMES: Readonly<Record<string, { readonly setting: Setting; readonly min: number; readonly max: number }>> = {
  heartbeat: { setting: "heartbeatMs", min: 20, max: 60_000 },
  suspect: { setting: "suspectAfterMissed", min: 1, max: 1_000 },
  dead: { setting: "deadAfterMissed", min: 2, max: 1_000 },
  recover: { setting: "recoverAfterInRow", min: 1, max: 1_000 },
  ramp: { setting: "rampMs", min: 0, max: 3_600_000 },
  hold: { setting: "holdMs", min: 0, max: 3_600_000 },
  "max-hold": { setting: "maxHoldMs", min: 0, max: 3_600_000 },
  forgive: { setting: "forgiveMs", min: 100, max: 86_400_000 },
  stale: { setting: "staleAfterMs", min: 1_000, max: 604_800_000 },
};

/**
 * "heartbeat=200ms,suspect=3,dead=5,…" for commander: times are durations, the others counts. What is not named keeps its
 * default (core/defaults).
 */
export function linkHealth(text: string): Partial<HealthSettings> {
  const settings: Partial<Record<Setting, number>> = {};
  for (const part of text.split(",")) {
    const [name = "", value = ""] = part.trim().split("=");
    const known = Object.hasOwn(NAMES, name) ? NAMES[name] : undefined;
    if (known === undefined)
      throw new InvalidArgumentError(`"${name.slice(0, 20)}" is unknown; there are ${Object.keys(NAMES).join(", ")}.`);
    const { setting, min, max } = known;
    const isTime = setting.endsWith("Ms");
    const number = isTime ? parseDuration(value) : Number(value);
    if (number === undefined || !Number.isInteger(number) || number < min || number > max)
      throw new InvalidArgumentError(
        isTime
          ? `want a duration of ${min} to ${max} ms for ${name}, such as ${name}=10s.`
          : `want a whole number from ${min} to ${max} for ${name}.`,
      );
    settings[setting] = number;
  }
  const { suspectAfterMissed, deadAfterMissed } = { ...HEALTH, ...settings };
  if (suspectAfterMissed >= deadAfterMissed) throw new InvalidArgumentError("want suspect to come before dead.");
  return settings;
}
