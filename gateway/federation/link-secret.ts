import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { hasCode, MeshError } from "../../core/errors.ts";
import type { GatewayAddress } from "../../core/link.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import type { KubeClient } from "../../kube/client.ts";
import { SECRETS, type Secret } from "../../kube/resources.ts";
import { type JoinedLink, joinedData, type LinkRecord, readLinkRecord } from "./link-record.ts";

const CONFLICT_TRIES = 5;

/** Writes a link's Secret: each change is made to what is there, and told once it is stored. */
export class LinkSecret {
  readonly #kube: KubeClient;
  readonly #link: string;
  readonly #secretName: () => string;
  readonly #onStored: (record: LinkRecord) => void;

  constructor(kube: KubeClient, link: string, secretName: () => string, onStored: (record: LinkRecord) => void) {
    this.#kube = kube;
    this.#link = link;
    this.#secretName = secretName;
    this.#onStored = onStored;
  }

  /** What redeeming `token` brought takes the token's place; nothing where another token is there by now. */
  async saveJoined(token: string, joined: JoinedLink): Promise<void> {
    await this.#change((secret) => {
      const record = readLinkRecord(secret);
      if (record.token !== token) return undefined;
      const { token: _, ...rest } = secret.data ?? {};
      // A bundle that came over the stream meanwhile may be newer.
      const known = record.joined?.bundle;
      const bundle = known !== undefined && known.sequence > joined.bundle.sequence ? known : joined.bundle;
      return { ...rest, ...joinedData({ ...joined, bundle }) };
    });
  }

  /** What the peer told over the stream. */
  async saveTrust(change: { bundle?: TrustBundle; gateways?: readonly GatewayAddress[] }): Promise<void> {
    await this.#change((secret) => {
      const { joined } = readLinkRecord(secret);
      if (joined === undefined) throw this.#gone();
      const next = { ...secret.data, ...joinedData({ ...joined, ...change }) };
      return JSON.stringify(next) === JSON.stringify(secret.data) ? undefined : next;
    });
  }

  async remove(): Promise<void> {
    await this.#kube.delete(SECRETS, this.#secretName(), SYSTEM_NAMESPACE);
  }

  #gone(): MeshError {
    return new MeshError("LINK_UNKNOWN", `Cannot store what ${this.#link} sent: the link or its Secret is gone.`);
  }

  async #change(change: (secret: Secret) => Record<string, string> | undefined): Promise<void> {
    for (let tries = 1; ; tries++) {
      const secret = await this.#kube.get<Secret>(SECRETS, this.#secretName(), SYSTEM_NAMESPACE);
      if (secret === undefined) throw this.#gone();
      const data = change(secret);
      if (data === undefined) return;
      try {
        this.#onStored(readLinkRecord(await this.#kube.replace<Secret>(SECRETS, { ...secret, data })));
        return;
      } catch (error) {
        if (!hasCode(error, "KUBE_CONFLICT") || tries >= CONFLICT_TRIES) throw error;
      }
    }
  }
}
