// The figures of the whole proxy, errors, cache, stores.

function figure([name]) {
  const value = make("dd", {className: "value"});
  const more = make("dd", {className: "more"});
  return {node: make("div", {}, make("dt", {textContent: name}), value, more), update([, text, detail]) {
    setText(value, text);
    setText(more, detail);
  }};
}

const within = (seconds) => `last ${Math.round(seconds / 60)} min`;

function showFigures(status) {
  const {recent, proxy} = status;
  const waiting = status.groups.reduce((sum, group) => sum + group.waiting, 0);
  const failed = Object.values(recent.errors).reduce((sum, times) => sum + times, 0);
  const latency = (name, quantiles) => quantiles
    ? [name, milliseconds(quantiles.p50), `99 % within ${milliseconds(quantiles.p99)}`]
    : [name, "–", "median and 99 %"];
  keyed(byId("figures"), [
    ["Requests", count(recent.requests), within(recent.window_s)],
    ["Errors", count(failed), recent.requests ? `${percent(failed / recent.requests)} of requests` : within(recent.window_s)],
    ["In flight", count(proxy.in_flight), "requests now"],
    ["Waiting", count(waiting), "for a rate limit"],
    latency("Own overhead", recent.overhead_ms),
    latency("First byte", recent.first_byte_ms),
    latency("Total", recent.total_ms),
  ], ([name]) => name, figure);
}

function showErrors({recent}) {
  const rows = kinds(recent.errors).map(([kind, times]) => [readable(kind), count(times)]);
  pairs(byId("errors"), rows.length ? rows : [[`None in the ${within(recent.window_s)}`, ""]]);
}

function storeWords(store) {
  const reason = store.reason ? `: ${store.reason}` : "";
  return `${store.kind}, ${store.state}${reason}`;
}

function showCache({stores}) {
  const {cache} = stores;
  if (!cache) {
    pairs(byId("cache"), [["Off", "cache: true turns it on"]]);
    return;
  }
  const {hit, miss, shared, refresh, bypass} = cache.requests;
  const asked = hit + miss + shared + refresh;
  pairs(byId("cache"), [
    ["Store", storeWords(cache.store)],
    ["Answered from it", asked ? `${percent((hit + shared) / asked)} of ${count(asked)}` : "–"],
    ["Hits, shared calls", `${count(hit)}, ${count(shared)}`],
    ["Misses, refreshed", `${count(miss)}, ${count(refresh)}`],
    ["Not cacheable", count(bypass)],
    ["Entries", cache.store.entries === null ? "–" :
      `${count(cache.store.entries)}${cache.store.bytes === null ? "" : `, ${bytes(cache.store.bytes)}`}`],
  ]);
}

function showCost({cost, currency}) {
  setHidden(byId("cost-section"), cost === null);
  if (cost === null) return;
  pairs(byId("cost"), [
    [`Spent, ${currency}`, money(cost.spent)],
    ["Saved by routing", money(cost.saved_by_routing)],
    ["Replies with a known cost", partOf(cost.priced_replies, cost.replies)],
    ["Saved by the cache", money(cost.saved_by_cache)],
    ["Hits with a known cost", partOf(cost.priced_hits, cost.hits)],
    ["Provisioned, an hour", cost.per_hour ? money(cost.per_hour) : "–"],
    ["Prompt tokens cached by providers", cost.cached_share === null ? "–" : percent(cost.cached_share)],
  ]);
}

function showStores({stores, held}) {
  pairs(byId("stores"), [
    ["Endpoint state", storeWords(stores.endpoint_state)],
    ["Held for clients", `${bytes(held.bytes)}${held.max_bytes ? ` of ${bytes(held.max_bytes)}` : ""}`],
    ["Refused for memory", count(held.refused)],
    ["Going on without a client", count(held.detached)],
  ]);
}

const since = (unix) => duration(Math.max(0, Date.now() / 1000 - unix));

function showWorkers({proxy}) {
  const {workers} = proxy.worker;
  setHidden(byId("workers-section"), workers === 1);
  pairs(byId("workers"), Array.from({length: workers}, (_, index) => {
    const found = proxy.workers.find(({number}) => number === index + 1);
    if (!found) return [`Worker ${index + 1}`, "not there now"];
    return [`Worker ${index + 1}, ${found.pid}`, `${count(found.in_flight)} in flight, up ${since(found.started_unix)}`];
  }));
}

function showAbout({proxy}) {
  const up = since(proxy.started_unix);
  const {pid, workers} = proxy.worker;
  const worker = workers > 1 ? `${workers} workers` : `process ${pid}`;
  const draining = proxy.draining ? " · stopping" : "";
  const refused = proxy.reload_refusal ? ` · reload refused: ${proxy.reload_refusal}` : "";
  setText(byId("about"), `Version ${proxy.version} · configuration ${proxy.generation} · ${worker} · up ${up}${draining}${refused}`);
}
