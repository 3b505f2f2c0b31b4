// Groups and their endpoints: state and why, share, room of both limits, failures.

// [level, word, detail] of an endpoint: level says how it is shown, the words say the same.
function stateOf(endpoint) {
  const why = endpoint.why ? `: ${endpoint.why}` : "";
  if (endpoint.state === "cooling") {
    if (!endpoint.cooling_s) return ["bad", "No credential", "passed over until there is a token"];
    return ["bad", "Cooling", `${duration(endpoint.cooling_s)} left${why}`];
  }
  if (endpoint.clock_s) return ["warn", "Rate limited", `${duration(endpoint.clock_s)} left${why}`];
  if (endpoint.state === "half-open") return ["info", "To be probed", `the next request tries it${why}`];
  if (endpoint.state === "probing") return ["info", "Probing", `one request tries it${why}`];
  if (isUsedUp(endpoint.requests) || isUsedUp(endpoint.tokens)) return ["warn", "No room", "left until its limit refills"];
  if (endpoint.ramp) return ["info", "Recovering", `${plural(endpoint.ramp, "request")} at a time`];
  return ["ok", "Ready", ""];
}

const isUsedUp = (limit) => limit !== null && limit.remaining !== null && limit.remaining < 1;

const isServing = (endpoint) => !["bad", "warn"].includes(stateOf(endpoint)[0]);

function stateCell() {
  const word = make("span", {className: "word"});
  const detail = make("small");
  const state = make("span", {className: "state"}, make("span", {className: "mark", ariaHidden: "true"}),
    make("span", {}, word, detail));
  return {node: cell("State", "wide", state), update(endpoint, row) {
    const [level, name, more] = stateOf(endpoint);
    setData(state, "level", level);
    setData(row, "level", level);
    setText(word, name);
    setText(detail, more);
  }};
}

function shareCell() {
  const text = make("span");
  const seen = make("i", {className: "left"});
  const aim = make("i", {className: "aim"});
  const bar = make("span", {className: "bar share", ariaHidden: "true"}, seen, aim);
  const detail = make("small");
  return {node: cell("Share", "", text, bar, detail), update(endpoint) {
    const {attempts, share} = endpoint.recent;
    setText(text, attempts ? percent(share, 1) : "–");
    setText(detail, `${endpoint.share ? `of ${percent(endpoint.share)}` : endpoint.tier} · weight ${endpoint.weight}`);
    setWidth(seen, attempts ? share : 0);
    setHidden(aim, !endpoint.share);
    const left = `calc(${(endpoint.share * 100).toFixed(1)}% - 1px)`;
    if (aim.style.left !== left) aim.style.left = left;
  }};
}

function roomCell(name, pick) {
  const text = make("span");
  const left = make("i", {className: "left"});
  const held = make("i", {className: "held"});
  const bar = make("span", {className: "bar", ariaHidden: "true"}, held, left);
  const detail = make("small");
  return {node: cell(name, "", make("span", {className: "room"}, text, bar, detail)), update(endpoint) {
    const limit = pick(endpoint);
    const isKnown = limit !== null && limit.remaining !== null;
    const whole = isKnown && limit.limit ? limit.limit : null;
    setHidden(bar, whole === null);
    if (!isKnown) {
      setText(text, "–");
      setText(detail, "not known");
      return;
    }
    setText(text, whole ? `${count(limit.remaining)} of ${count(whole)}` : count(limit.remaining));
    const refill = limit.reset_s ? `full in ${duration(limit.reset_s)}` : whole === null ? "limit not known" : "full";
    setText(detail, limit.reserved ? `${refill} · ${compact.format(limit.reserved)} held` : refill);
    if (whole === null) return;
    const fraction = limit.remaining / whole;
    setWidth(left, fraction);
    setWidth(held, fraction + limit.reserved / whole);
    setData(bar, "level", fraction < 0.02 ? "bad" : fraction < 0.15 ? "warn" : "ok");
  }};
}

function failuresCell() {
  const text = make("span");
  const detail = make("small");
  return {node: cell("Failed", "wide", text, detail), update({recent}) {
    const all = kinds(recent.failures);
    const sum = all.reduce((total, [, times]) => total + times, 0);
    setText(text, recent.attempts ? `${count(sum)} of ${count(recent.attempts)}` : "–");
    setText(detail, all.map(([kind, times]) => `${readable(kind)} ${count(times)}`).join(", "));
  }};
}

function endpointRow(endpoint) {
  const model = make("small");
  const inFlight = cell("In flight", "number");
  const parts = [stateCell(), shareCell(), roomCell("Requests left", (e) => e.requests),
    roomCell("Tokens left", (e) => e.tokens), failuresCell()];
  const name = make("th", {scope: "row", role: "rowheader", className: "wide"}, endpoint.id, model);
  const [state, share, requests, tokens, failed] = parts.map((part) => part.node);
  const node = make("tr", {role: "row"}, name, state, share, inFlight, requests, tokens, failed);
  return {node, update(now) {
    const {cost} = now;
    setText(model, `${now.model} · ${now.provider}${cost === null ? "" : ` · ${spent(cost)}`}`);
    setText(inFlight, count(now.in_flight));
    for (const part of parts) part.update(now, node);
    setHidden(node, !isWanted(now));
  }};
}

const COLUMNS = [["Endpoint", "18%"], ["State", "22%"], ["Share", "12%"], ["In flight", "7%", "number"],
  ["Requests left", "14%"], ["Tokens left", "14%"], ["Failed", "13%"]];

function spent(cost) {
  if (cost.per_hour) return `${money(cost.per_hour)} an hour`;
  return `spent ${money(cost.spent)}${coverage(cost.priced_replies, cost.replies)}`;
}

function costFacts(cost) {
  if (cost === null) return [];
  return [["Spent", money(cost.spent) + coverage(cost.priced_replies, cost.replies)],
    ["Saved by routing", money(cost.saved_by_routing)],
    ["Saved by the cache", money(cost.saved_by_cache) + coverage(cost.priced_hits, cost.hits)]];
}

function groupSection(group) {
  const title = make("h3", {textContent: group.model_group});
  const facts = make("p", {className: "group-facts"});
  const {node: rows, body} = table(`Endpoints of ${group.model_group}`, COLUMNS);
  const node = make("section", {className: "group", ariaLabel: `Model group ${group.model_group}`},
    make("header", {}, title, facts), rows);
  return {node, update(now) {
    keyed(body, now.endpoints, (endpoint) => endpoint.id, endpointRow);
    setHidden(node, !now.endpoints.some(isWanted));
    const {requests, errors, first_byte_ms: firstByte, total_ms: total} = now.recent;
    const failed = Object.values(errors).reduce((sum, times) => sum + times, 0);
    const told = [["Requests", count(requests)], ["Errors", count(failed)], ["Waiting", count(now.waiting)],
      ["First byte", medianAndMost(firstByte)], ["Total", medianAndMost(total)]];
    told.push(...costFacts(now.cost));
    keyed(facts, told, ([name]) => name, ([name]) => {
      const value = make("b");
      return {node: make("span", {className: "nowrap"}, `${name} `, value), update: (fact) => setText(value, fact[1])};
    });
  }};
}

const wanted = {text: "", troubled: false};

function isWanted(endpoint) {
  if (wanted.troubled && stateOf(endpoint)[0] === "ok") return false;
  return !wanted.text || `${endpoint.id}\n${endpoint.model}`.toLowerCase().includes(wanted.text);
}

function showGroups(groups) {
  const all = groups.flatMap((group) => group.endpoints);
  setHidden(byId("filter"), all.length < 9 && !wanted.text && !wanted.troubled);
  keyed(byId("groups"), groups, (group) => group.model_group, groupSection);
  const shown = all.filter(isWanted).length;
  setText(byId("matches"), shown === all.length ? plural(shown, "endpoint") : `${shown} of ${plural(all.length, "endpoint")}`);
}

// The whole in one sentence: [level, text].
function verdictOf(groups) {
  const all = groups.flatMap((group) => group.endpoints);
  const lost = groups.filter((group) => !group.endpoints.some(isServing)).map((group) => group.model_group);
  const serving = all.filter(isServing).length;
  if (lost.length) return ["bad", `No endpoint can serve ${lost.slice(0, 3).join(", ")}${lost.length > 3 ? ` and ${lost.length - 3} more` : ""}`];
  if (serving < all.length) return ["warn", `${serving} of ${plural(all.length, "endpoint")} can serve`];
  return ["ok", all.length === 1 ? "The endpoint can serve" : `All ${count(all.length)} endpoints can serve`];
}
