/** What the page keeps of what it was told: bounded per function, in the order in which it happened. */
import { beforeEach, describe, expect, it } from "vitest";
import { Observer } from "../../../../src/control/page/view.ts";
import type { LedgerEntry } from "../../../../src/machine/ledger-entry.ts";
import { FakeControl, fakeSpec } from "../../../support/fake-control.ts";

const CHANGES_KEPT = 1000;

let vm: FakeControl;
let observer: Observer;
beforeEach(() => {
  vm = new FakeControl(fakeSpec("alpha", 2));
  observer = new Observer({ vms: () => [] });
  observer.attach(vm.control);
});

function enters(fid: number, to: string, of = vm): void {
  const detail = { from: "?", to, event: "test" };
  const entry = { seq: 1, timeUs: 1, actor: "recovery", kind: "state", fid, detail };
  of.emit({ type: "entry", entry: entry as LedgerEntry });
}

const shown = (changes: readonly { fid: number; state: string }[]): string[] =>
  changes.map(({ fid, state }) => `${fid} ${state}`);

describe("the time lines of the page", () => {
  it("tell the changes of all functions in the order in which they came", () => {
    enters(1, "draining");
    enters(2, "draining");
    enters(1, "operational");
    expect(shown(observer.view().changes)).toEqual(["1 draining", "2 draining", "1 operational"]);
  });

  it("tell a page that has seen some only what is new, each page by its own place", () => {
    const [first, second] = [
      { changes: 0, recoveries: 0 },
      { changes: 0, recoveries: 0 },
    ];
    enters(1, "draining");
    expect(shown(observer.view(first).changes)).toEqual(["1 draining"]);
    enters(2, "failed");
    expect(shown(observer.view(first).changes)).toEqual(["2 failed"]);
    expect(shown(observer.view(first).changes)).toEqual([]);
    expect(shown(observer.view(second).changes)).toEqual(["1 draining", "2 failed"]);
  });

  it("keep so many changes of one function, and none of another's less for it", () => {
    enters(2, "quarantined");
    for (let n = 0; n < CHANGES_KEPT + 5; n++) enters(1, `state ${n}`);
    const changes = shown(observer.view().changes);
    expect(changes).toHaveLength(1 + CHANGES_KEPT);
    expect(changes.slice(0, 2)).toEqual(["2 quarantined", "1 state 5"]);
    expect(changes.at(-1)).toBe(`1 state ${CHANGES_KEPT + 4}`);
  });

  it("forget a VM that is gone, and no other whose name begins alike", () => {
    const other = new FakeControl(fakeSpec("alpha2", 1));
    observer.attach(other.control);
    enters(1, "draining");
    enters(1, "failed", other);
    observer.forget("alpha");
    expect(observer.view().changes.map(({ vm: name }) => name)).toEqual(["alpha2"]);
  });
});
