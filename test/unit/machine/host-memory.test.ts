import { describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import { availableMemoryBytes, requireMemory } from "../../../src/machine/host-memory.ts";

const MIB = 1024 * 1024;
const noFallback = (): number => {
  throw new Error("the fallback was asked");
};

/** Available bytes on a host that has these files and no others. */
function available(files: Readonly<Record<string, string>>, free = noFallback): number {
  return availableMemoryBytes((path) => files[path] ?? "", free);
}

const meminfo = {
  "/proc/meminfo": "MemTotal:       16384 kB\nMemFree:   1024 kB\nMemAvailable:    8192 kB\n",
};

describe("available memory", () => {
  it("is MemAvailable of /proc/meminfo, in kB", () => {
    expect(available(meminfo)).toBe(8192 * 1024);
  });

  it("is what the C library says on hosts without these files", () => {
    expect(available({}, () => 5 * MIB)).toBe(5 * MIB);
  });

  it("is what a version 2 cgroup has left when that is less", () => {
    const files = {
      ...meminfo,
      "/proc/self/cgroup": "0::/\n",
      "/sys/fs/cgroup/memory.max": `${4 * MIB}\n`,
      "/sys/fs/cgroup/memory.current": `${MIB}\n`,
    };
    expect(available(files)).toBe(3 * MIB);
  });

  it("does not count file cache that the kernel takes back first", () => {
    const files = {
      ...meminfo,
      "/sys/fs/cgroup/memory.max": `${4 * MIB}`,
      "/sys/fs/cgroup/memory.current": `${4 * MIB}`,
      "/sys/fs/cgroup/memory.stat": `anon ${MIB}\nfile ${3 * MIB}\ninactive_file ${2 * MIB}\n`,
    };
    expect(available(files)).toBe(2 * MIB);
  });

  it("obeys the tightest of the own group and those above it", () => {
    const group = (path: string, limit: string, usage: number) => ({
      [`/sys/fs/cgroup${path}/memory.max`]: `${limit}\n`,
      [`/sys/fs/cgroup${path}/memory.current`]: `${usage}\n`,
    });
    const files = {
      ...meminfo,
      "/proc/self/cgroup": "0::/user.slice/user-0.slice/session\n",
      ...group("/user.slice", `${5 * MIB}`, 3 * MIB),
      ...group("/user.slice/user-0.slice", "max", 3 * MIB),
      ...group("/user.slice/user-0.slice/session", `${6 * MIB}`, 2 * MIB),
    };
    expect(available(files)).toBe(2 * MIB);
  });

  it("reads version 1 groups by the process's path in the memory controller", () => {
    const files = {
      ...meminfo,
      "/proc/self/cgroup": "9:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/system.slice\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1048576\n",
      "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": `${3 * MIB}\n`,
      "/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": `${2 * MIB}\n`,
      "/sys/fs/cgroup/memory/docker/abc/memory.stat": `inactive_file 1\ntotal_inactive_file ${MIB}\n`,
    };
    expect(available(files)).toBe(2 * MIB);
  });

  it("ignores groups without a limit: 'max', and the largest number of version 1", () => {
    expect(
      available({
        ...meminfo,
        "/sys/fs/cgroup/memory.max": "max\n",
        "/sys/fs/cgroup/memory.current": `${9 * MIB}\n`,
      }),
    ).toBe(8192 * 1024);
  });

  it("is never negative, even when usage exceeds the limit", () => {
    expect(
      available({
        ...meminfo,
        "/sys/fs/cgroup/memory.max": "4096",
        "/sys/fs/cgroup/memory.current": "8192",
      }),
    ).toBe(0);
  });

  it.each(["", "garbage", "-5", "1e99", "0x10"])("ignores a limit file that says '%s'", (text) => {
    const files = {
      ...meminfo,
      "/sys/fs/cgroup/memory.max": text,
      "/sys/fs/cgroup/memory.current": "1",
    };
    expect(available(files)).toBe(8192 * 1024);
  });

  it("of the machine that runs this is a positive number", () => {
    expect(availableMemoryBytes()).toBeGreaterThan(0);
  });
});

describe("a guest larger than that", () => {
  it("is refused with both numbers and status 3, a guest that just fits is not", () => {
    expect(() => requireMemory(8 * MIB + 1, "VM demo", 8 * MIB)).toThrow(
      expect.objectContaining({
        code: "NOT_ENOUGH_MEMORY",
        exitStatus: 3,
        message:
          "VM demo needs 9 MiB, this machine has 8 MiB available; give the guest less memory or free some.",
      }),
    );
    expect(() => requireMemory(8 * MIB, "VM demo", 8 * MIB)).not.toThrow(ZmendError);
  });
});
