// Asks the proxy again and again, seldom while nobody looks, and says when there is no answer.

const EVERY_MS = 2000;
const HIDDEN_MS = 60000;
const LONGEST_MS = 30000;
const PATIENCE_MS = 10000;
const ROOT = location.origin + location.pathname.replace(/\/*$/, "").replace(/\/status$/, "");

const asking = {etag: "", key: "", failures: 0, timer: 0, running: false, paused: false, last: null, level: ""};

async function ask() {
  const headers = {accept: "application/json"};
  if (asking.etag) headers["if-none-match"] = asking.etag;
  if (asking.key) headers.authorization = `Bearer ${asking.key}`;
  const reply = await fetch(`${ROOT}/status`, {headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS)});
  if (reply.status === 401) {
    askForKey();
    return;
  }
  if (reply.status !== 200 && reply.status !== 304) throw new Error(`status ${reply.status}`);
  if (reply.status === 200) {
    asking.last = await reply.json();
    asking.etag = reply.headers.get("etag") ?? "";
  }
  setHidden(byId("key-form"), true);
  succeeded();
}

function succeeded() {
  asking.failures = 0;
  document.body.classList.remove("stale");
  setHidden(byId("stale"), true);
  asking.at = new Date();
  show(asking.last);
}

function failed(error) {
  asking.failures += 1;
  const since = asking.at ? ` What is shown is of ${clockTime(asking.at)}.` : "";
  const again = duration(waitMs() / 1000).replace(".0", "");
  document.body.classList.add("stale");
  setHidden(byId("stale"), false);
  setText(byId("stale"), `The proxy does not answer (${error.message}).${since} It is asked again every ${again}.`);
  setVerdict("bad", "No answer");
}

function askForKey() {
  setHidden(byId("key-refused"), !asking.key);
  const form = byId("key-form");
  const isNew = form.hidden;
  setHidden(form, false);
  setHidden(byId("main"), true);
  setVerdict("unknown", "A key is needed");
  asking.key = asking.etag = "";
  asking.needsKey = true;
  if (isNew) byId("key").focus();
}

function setVerdict(level, text) {
  setData(byId("verdict"), "level", level);
  setText(byId("verdict-text"), text);
  document.title = `${text} · LLMProxy`;
}

function show(status) {
  const [level, text] = verdictOf(status.groups);
  // Only a change of the whole is read out.
  if (asking.level && asking.level !== level) setText(byId("news"), text);
  asking.level = level;
  setVerdict(level, text);
  setHidden(byId("main"), false);
  showAbout(status);
  showFigures(status);
  showGroups(status.groups);
  showErrors(status);
  showCache(status);
  showCost(status);
  showStores(status);
  showWorkers(status);
  showDecisions(status);
  setText(byId("updated"), `As of ${clockTime(asking.at)}`);
}

function waitMs() {
  const usual = document.hidden ? HIDDEN_MS : EVERY_MS;
  return Math.max(usual, Math.min(LONGEST_MS, EVERY_MS * 2 ** asking.failures - EVERY_MS));
}

async function turn() {
  if (asking.running) return;
  clearTimeout(asking.timer);
  asking.running = true;
  try {
    await ask();
  } catch (error) {
    failed(error);
  } finally {
    asking.running = false;
    if (!asking.paused && !asking.needsKey) asking.timer = setTimeout(turn, waitMs());
  }
}

byId("pause").addEventListener("click", () => {
  asking.paused = !asking.paused;
  byId("pause").setAttribute("aria-pressed", String(asking.paused));
  clearTimeout(asking.timer);
  if (!asking.paused) turn();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  asking.key = byId("key").value.trim();
  asking.needsKey = false;
  byId("key").value = "";
  turn();
});
byId("wanted").addEventListener("input", () => {
  wanted.text = byId("wanted").value.trim().toLowerCase();
  showGroups(asking.last.groups);
});
byId("troubled").addEventListener("change", () => {
  wanted.troubled = byId("troubled").checked;
  showGroups(asking.last.groups);
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !asking.paused && !asking.needsKey) turn();
});
turn();
