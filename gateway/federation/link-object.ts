import type { KubeClient } from "../../kube/client.ts";
import { LINKS, type Link } from "../../kube/resources.ts";
import { isOutdated, type LinkSituation, linkStatus } from "./link-status.ts";

/** A Link of Kubernetes as it was last read or written here, and what a gateway writes of it. */
export class LinkObject {
  readonly name: string;
  readonly uid: string | undefined;
  readonly #kube: KubeClient;
  #link: Link;

  constructor(link: Link, kube: KubeClient) {
    this.name = link.metadata.name;
    this.uid = link.metadata.uid;
    this.#link = link;
    this.#kube = kube;
  }

  get spec(): Link["spec"] {
    return this.#link.spec;
  }

  get generation(): number | undefined {
    return this.#link.metadata.generation;
  }

  get finalizers(): readonly string[] {
    return this.#link.metadata.finalizers ?? [];
  }

  get deleting(): boolean {
    return this.#link.metadata.deletionTimestamp !== undefined;
  }

  /** Exports of the peer that its status tells of. */
  get services(): number {
    return this.#link.status?.services ?? 0;
  }

  /** How it is now. */
  update(link: Link): void {
    this.#link = link;
  }

  /** @throws MeshError by isOutdated where it has changed meanwhile; then it has been read again. */
  async setFinalizers(finalizers: string[]): Promise<void> {
    const { resourceVersion } = this.#link.metadata;
    const patch = { metadata: { finalizers, ...(resourceVersion === undefined ? {} : { resourceVersion }) } };
    try {
      this.#link = await this.#kube.mergePatch<Link>(LINKS, this.name, undefined, patch);
    } catch (error) {
      if (isOutdated(error)) await this.#reread();
      throw error;
    }
  }

  /** Writes its status where that says something else. @throws MeshError as setFinalizers */
  async writeStatus(situation: LinkSituation, wallMs: number): Promise<void> {
    const status = linkStatus(this.#link, situation, wallMs);
    if (status === undefined) return;
    // Conditions are one list of several writers: written only on top of what was read.
    const { resourceVersion } = this.#link.metadata;
    const patch = { ...(resourceVersion === undefined ? {} : { metadata: { resourceVersion } }), status };
    try {
      this.#link = await this.#kube.mergePatchStatus<Link>(LINKS, this.name, undefined, patch);
    } catch (error) {
      if (isOutdated(error)) await this.#reread().catch(() => {});
      throw error;
    }
  }

  /** Deletes this very Link, not one of the same name that came after it. */
  async delete(): Promise<void> {
    await this.#kube.delete(LINKS, this.name, undefined, this.uid === undefined ? {} : { uid: this.uid });
  }

  async #reread(): Promise<void> {
    const link = await this.#kube.get<Link>(LINKS, this.name);
    if (link?.metadata.uid === this.uid && link !== undefined) this.#link = link;
  }
}
