import { describe, expect, it } from "vitest";
import { parseDemoConfig } from "../../../src/config/demo-config.ts";
import { planDemo } from "../../../src/daemon/demo-plan.ts";

const text = (host: string): string => `version: 1
vm: { fixture: zrecover }
functions:
  - { fid: 0x1, uid: 1${host === "" ? "" : `, host: ${host}`} }
  - { fid: 0x2, uid: 2 }
`;
const parse = (host: string) => parseDemoConfig(text(host), "x.yaml");
const plan = (host: string, options: { dialect?: string; abi?: string } = {}) =>
  planDemo(parse(host), { policy: "mediated", epochMs: 0, ...options }).functions.map(
    (entry) => `${entry.host.dialect} ${entry.host.abi}`,
  );

describe("the host of a demo function", () => {
  it("speaks the merged zPCI interface when nothing is said", () => {
    expect(parse("").functions[0]?.host).toEqual({ dialect: "zpci", abi: "merged" });
    expect(plan("")).toEqual(["zpci merged", "zpci merged"]);
  });

  it("is chosen per function", () => {
    expect(plan("{ abi: v13 }")).toEqual(["zpci v13", "zpci merged"]);
    expect(plan("{ dialect: eeh, abi: 2014-v6 }")).toEqual(["eeh 2014-v6", "zpci merged"]);
    expect(plan("{ dialect: aer }")[0]).toBe("aer merged");
  });

  it("is overridden for all functions by the command line", () => {
    expect(plan("{ abi: v13 }", { abi: "v19" })).toEqual(["zpci v19", "zpci v19"]);
    expect(plan("{ abi: v13 }", { dialect: "eeh" })).toEqual(["eeh merged", "eeh merged"]);
    expect(plan("", { dialect: "eeh", abi: "2014-u32" })[1]).toBe("eeh 2014-u32");
  });

  it("names unknown dialects and shapes with the place and the nearest known one", () => {
    expect(() => parse("{ dialect: ehe }")).toThrow(
      /x\.yaml:4: functions\[0\]\.host\.dialect: .*'ehe' is unknown \(did you mean 'eeh'\?\)/,
    );
    expect(() => parse("{ abi: v13-enomg }")).toThrow(/did you mean 'v13-enomsg'/);
    expect(() => parse("{ dialect: aer, abi: v13 }")).toThrow(/name one of merged/);
    expect(() => plan("", { abi: "v99" })).toThrow(/^--abi: abi 'v99' is unknown/);
    expect(() => plan("", { dialect: "aer", abi: "v1" })).toThrow(/^--abi: /);
  });
});
