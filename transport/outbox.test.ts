import assert from "node:assert/strict";
import { setImmediate as turnEnd } from "node:timers/promises";
import { Outbox, Slot, wordsOf } from "./outbox.ts";

/** Sends by noting what its slot held. */
class Noting {
  readonly #outbox: Outbox;
  readonly #sent: string[];
  #slot: Slot | undefined = undefined;

  constructor(outbox: Outbox, sent: string[]) {
    this.#outbox = outbox;
    this.#sent = sent;
  }

  say(text: string): void {
    this.#slot ??= this.#outbox.take(this);
    if (this.#slot === undefined) this.#sent.push(text);
    else this.#slot.length += this.#slot.bytes.write(text, this.#slot.length, "latin1");
  }

  flush(): void {
    const slot = this.#slot;
    if (slot === undefined) return;
    this.#slot = undefined;
    this.#sent.push(slot.view().toString("latin1"));
    slot.length = 0;
  }
}

describe("Outbox", () => {
  it("has everybody flush at the end of the turn, in the order in which they came, each turn anew", async () => {
    const outbox = new Outbox();
    const sent: string[] = [];
    const [a, b] = [new Noting(outbox, sent), new Noting(outbox, sent)];
    a.say("1");
    b.say("2");
    a.say("3");
    assert.deepEqual(sent, []);
    await turnEnd();
    assert.deepEqual(sent, ["13", "2"]);
    b.say("4");
    a.say("5");
    await turnEnd();
    assert.deepEqual(sent, ["13", "2", "4", "5"]);
  });

  it("leaves alone who has flushed before", async () => {
    const outbox = new Outbox();
    const sent: string[] = [];
    const a = new Noting(outbox, sent);
    a.say("1");
    a.flush();
    a.say("2");
    await turnEnd();
    assert.deepEqual(sent, ["1", "2"]);
  });

  it("does not make the first ones wait for very many", async () => {
    const outbox = new Outbox();
    const sent: string[] = [];
    for (let i = 0; i < 300; i++) new Noting(outbox, sent).say(String(i));
    assert.ok(sent.length > 0 && sent.length < 300, `${sent.length} of 300 are sent within the turn`);
    await turnEnd();
    assert.deepEqual(
      sent,
      Array.from({ length: 300 }, (_, i) => String(i)),
    );
  });
});

describe("Outbox with loneAtOnce", () => {
  it("has a lone write sent at once, and those after a turn with many wait", async () => {
    const outbox = new Outbox(true);
    const sent: string[] = [];
    const [a, b] = [new Noting(outbox, sent), new Noting(outbox, sent)];
    a.say("1");
    assert.deepEqual(sent, ["1"]);
    await turnEnd();
    a.say("2");
    b.say("3");
    assert.deepEqual(sent, ["1", "2", "3"]);
    await turnEnd();
    a.say("4");
    assert.deepEqual(sent, ["1", "2", "3"]);
    await turnEnd();
    assert.deepEqual(sent, ["1", "2", "3", "4"]);
    a.say("5");
    assert.deepEqual(sent, ["1", "2", "3", "4", "5"]);
  });
});

describe("Slot", () => {
  it("leaves what was given away as it is", () => {
    const slot = new Slot();
    slot.length = slot.bytes.write("first", "latin1");
    const view = slot.view();
    slot.giveAway();
    slot.begin(wordsOf(Buffer.from("other and more..")), 5);
    assert.equal(view.toString("latin1"), "first");
    assert.equal(slot.view().toString("latin1"), "other");
  });
});
