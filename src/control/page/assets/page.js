/** The daemon's page: connects to the stream of views, keeps the last minutes, draws. */
import htm from "htm";
import { h, render } from "preact";
import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { RecoveryChart } from "./chart.js";
import { Legend, Timeline } from "./timeline.js";

const html = htm.bind(h);

/** How far back the time lines may reach. */
const KEPT_MS = 15 * 60_000;
const RECOVERIES_KEPT = 100;
const spans = [
  ["1 minute", 60_000],
  ["5 minutes", 5 * 60_000],
  ["15 minutes", KEPT_MS],
];

const hex = (value, digits) => `0x${value.toString(16).padStart(digits, "0")}`;
const keyOf = (vm, fid) => `${vm}/${fid}`;

/** The token of the address's fragment, which is then taken out of the address bar and the history. */
function tokenOfAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  if (token !== "") history.replaceState(null, "", location.pathname);
  return token;
}

const nothing = { view: undefined, changes: new Map(), recoveries: [] };

/** What is known after another message; `start` means that this is everything. */
function learn(known, { view, start }) {
  const changes = start ? new Map() : new Map(known.changes);
  for (const { vm, fid, ms, state } of view.changes) {
    const key = keyOf(vm, fid);
    changes.set(key, [...(changes.get(key) ?? []), { ms, state }]);
  }
  const oldest = view.nowMs - KEPT_MS;
  for (const [key, list] of changes) {
    const first = list.findLastIndex(({ ms }) => ms <= oldest);
    if (first > 0) changes.set(key, list.slice(first));
  }
  const recoveries = [...(start ? [] : known.recoveries), ...view.recoveries];
  return { view, changes, recoveries: recoveries.slice(-RECOVERIES_KEPT) };
}

function usePage() {
  const [known, tell] = useReducer(learn, nothing);
  const [connected, setConnected] = useState(false);
  const [settings, setSettings] = useState(undefined);
  useEffect(() => {
    const source = new EventSource("/events");
    const take = (event) => {
      setConnected(true);
      tell({ view: JSON.parse(event.data), start: event.type === "start" });
    };
    source.addEventListener("start", take);
    source.addEventListener("update", take);
    source.addEventListener("error", () => setConnected(false));
    const told = async () => setSettings(await (await fetch("/settings")).json());
    told().catch(() => setConnected(false));
    return () => source.close();
  }, []);
  return { ...known, connected, settings };
}

function JournalFacts({ journal }) {
  if (journal === undefined) return null;
  const { written, bytes } = journal;
  const kib = bytes / 1024;
  const size = kib < 1024 ? `${Math.ceil(kib)} KiB` : `${(kib / 1024).toFixed(1)} MiB`;
  return html`<p>Journal: ${written.toLocaleString("en")} records, ${size}</p>`;
}

function JournalLoss({ journal }) {
  const { lost = 0, problem } = journal ?? {};
  if (lost === 0 && problem === undefined) return null;
  const why =
    problem === undefined ? "It is being written again." : `It cannot be written now (${problem}).`;
  return html`<p class="banner" role="alert">
    <strong>The journal has lost ${lost} records.</strong> ${why} The guests go on.
  </p>`;
}

function FunctionRow({ vm, entry, changes, nowMs, spanMs, inject, pecs }) {
  const { fid, id, device, state, guestState, policy } = entry;
  const pec = useRef(null);
  const name = `function ${hex(fid, 8)} of ${vm}`;
  return html`<tr>
    <th scope="row"><code>${hex(fid, 8)}</code><span class="dim"> ${id}, ${device}</span></th>
    <td><span class="state"><span class="swatch s-${state}" aria-hidden="true"></span>${state}</span></td>
    <td>${guestState}</td>
    <td>${policy}</td>
    <td class="number">${entry.raised}</td>
    <td class="number">${entry.fetched}</td>
    <td class="number ${entry.notDelivered > 0 ? "warn" : ""}">${entry.notDelivered}</td>
    <td class="number">${entry.recoveries}</td>
    <td class="number">${entry.hostResets}</td>
    <td class="number ${entry.workerRestarts > 0 ? "warn" : ""}">${entry.workerRestarts}</td>
    <td class="line"><${Timeline} name=${name} changes=${changes ?? []} nowMs=${nowMs} spanMs=${spanMs} /></td>
    ${
      inject === undefined
        ? null
        : html`<td class="inject"><div>
            <select ref=${pec} aria-label=${`PEC to raise on ${name}`}>
              ${pecs.map(
                (each) =>
                  html`<option value=${each.pec} selected=${each.name === "SERVAC"}>
                    ${hex(each.pec, 4)} ${each.name}
                  </option>`,
              )}
            </select>
            <button type="button" aria-label=${`Inject into ${name}`} onClick=${() => inject(vm, fid, Number(pec.current.value))}>
              Inject
            </button>
          </div></td>`
    }
  </tr>`;
}

const columns = [
  ["Function", ""],
  ["Recovery", ""],
  ["Guest sees", ""],
  ["Policy", ""],
  ["Raised", "number"],
  ["Fetched", "number"],
  ["Not delivered", "number"],
  ["Recoveries", "number"],
  ["Resets", "number"],
  ["Worker restarts", "number"],
  ["States over time", "line"],
];

/** "12 m 59 s": the two largest units. */
function duration(us) {
  const seconds = Math.floor(us / 1e6);
  const units = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ];
  const first = units.findIndex(([count]) => count > 0);
  const shown = first < 0 ? [[0, "s"]] : units.slice(first, first + 2);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

function Vm({ vm, changes, nowMs, spanMs, inject, pecs }) {
  const id = `vm-${vm.name}`;
  const bad =
    vm.failure !== undefined ||
    ["io-error", "guest-panicked", "internal-error"].includes(vm.runState);
  return html`<section aria-labelledby=${id}>
    <h2 id=${id}>${vm.name} <span class=${`badge ${bad ? "bad" : ""}`}>${vm.runState}</span></h2>
    <p class="dim">
      ${vm.instructions.toLocaleString("en")} instructions, up ${duration(vm.timeUs)}
      ${vm.failure === undefined ? "" : html`<strong class="bad"> ${vm.failure}</strong>`}
    </p>
    ${
      vm.functions.length === 0
        ? html`<p>No functions.</p>`
        : html`<div class="scroll" tabindex="0" role="region" aria-labelledby=${id}>
            <table>
              <thead>
                <tr>
                  ${columns.map(([title, kind]) => html`<th scope="col" class=${kind}>${title}</th>`)}
                  ${inject === undefined ? null : html`<th scope="col">Raise an error</th>`}
                </tr>
              </thead>
              <tbody>
                ${vm.functions.map(
                  (entry) =>
                    html`<${FunctionRow}
                      key=${entry.fid}
                      vm=${vm.name}
                      entry=${entry}
                      changes=${changes.get(keyOf(vm.name, entry.fid))}
                      nowMs=${nowMs}
                      spanMs=${spanMs}
                      inject=${inject}
                      pecs=${pecs}
                    />`,
                )}
              </tbody>
            </table>
          </div>`
    }
  </section>`;
}

const milliseconds = (us) => (us === undefined ? "–" : `${(us / 1000).toFixed(3)} ms`);

function Recoveries({ recoveries }) {
  const last = recoveries.toSorted((a, b) => b.endedMs - a.endedMs).slice(0, 10);
  return html`<section aria-labelledby="recoveries">
    <h2 id="recoveries">Last recoveries</h2>
    ${
      last.length === 0
        ? html`<p>None yet.</p>`
        : html`<${RecoveryChart} recoveries=${recoveries} />
            <div class="scroll" tabindex="0" role="region" aria-labelledby="recoveries">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Ended</th>
                    <th scope="col">VM</th>
                    <th scope="col">Function</th>
                    <th scope="col">PEC</th>
                    <th scope="col" class="number">Detected to injected</th>
                    <th scope="col" class="number">Injected to fetched</th>
                    <th scope="col" class="number">Fetched to recovered</th>
                    <th scope="col" class="number">In all</th>
                  </tr>
                </thead>
                <tbody>
                  ${last.map(
                    ({ vm, fid, pec, endedMs, totalUs, phases }) => html`<tr>
                      <td>${new Date(endedMs).toLocaleTimeString()}</td>
                      <td>${vm}</td>
                      <td><code>${hex(fid, 8)}</code></td>
                      <td><code>${pec}</code></td>
                      <td class="number">${milliseconds(phases.detected_to_injected)}</td>
                      <td class="number">${milliseconds(phases.injected_to_fetched)}</td>
                      <td class="number">${milliseconds(phases.fetched_to_recovered)}</td>
                      <td class="number">${milliseconds(totalUs)}</td>
                    </tr>`,
                  )}
                </tbody>
              </table>
            </div>`
    }
  </section>`;
}

function Page() {
  const { view, changes, recoveries, connected, settings } = usePage();
  const [spanMs, setSpan] = useState(spans[0][1]);
  const [token, setToken] = useState(tokenOfAddress);
  const [said, say] = useState({ text: "", bad: false });
  const inject = async (vm, fid, pec) => {
    const answer = await fetch("/inject", {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify({ vm, fid, pec }),
    }).catch(() => undefined);
    const where = `${vm}, function ${hex(fid, 8)}`;
    if (answer?.ok) say({ text: `PEC ${hex(pec, 4)} raised on ${where}.`, bad: false });
    else
      say({
        text: answer === undefined ? "The daemon does not answer." : await answer.text(),
        bad: true,
      });
  };
  const mayInject = settings?.injection === true;
  return html`
    <header>
      <h1>zmend <span class="dim">${settings?.version}</span></h1>
      <p role="status" class=${connected ? "good" : "bad"}>
        ${connected ? "Live" : view === undefined ? "Connecting …" : `Disconnected since ${new Date(view.nowMs).toLocaleTimeString()}`}
      </p>
      <label>
        Time shown
        <select value=${spanMs} onChange=${(event) => setSpan(Number(event.target.value))}>
          ${spans.map(([name, ms]) => html`<option value=${ms}>${name}</option>`)}
        </select>
      </label>
      <${JournalFacts} journal=${view?.journal} />
    </header>
    <${JournalLoss} journal=${view?.journal} />
    ${
      mayInject &&
      html`<form class="token" onSubmit=${(event) => event.preventDefault()}>
        <label>
          Token for injections
          <input type="password" autocomplete="off" value=${token} onInput=${(event) => setToken(event.target.value.trim())} />
        </label>
        <span class="dim">The daemon printed it at its start.</span>
        <p role="status" class=${said.bad ? "bad" : "good"}>${said.text}</p>
      </form>`
    }
    <main>
      ${view?.vms.map(
        (vm) =>
          html`<${Vm}
            key=${vm.name}
            vm=${vm}
            changes=${changes}
            nowMs=${view.nowMs}
            spanMs=${spanMs}
            inject=${mayInject ? inject : undefined}
            pecs=${settings?.pecs ?? []}
          />`,
      )}
      <${Legend} states=${settings?.states ?? []} />
      <${Recoveries} recoveries=${recoveries} />
    </main>
  `;
}

const root = document.getElementById("page");
root.replaceChildren();
render(html`<${Page} />`, root);
