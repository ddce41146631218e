/** A vitest reporter: names each test that failed first and passed when it was tried again. */
export default class SecondTries {
  onTestRunEnd(modules) {
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        if (test.diagnostic()?.flaky !== true) continue;
        const reason = test.result().errors?.[0]?.message?.split("\n")[0] ?? "no reason was kept";
        process.stdout.write(
          `passed at the second try: ${module.relativeModuleId} > ${test.fullName}: ${reason}\n`,
        );
      }
    }
  }
}
