// The last requests: where each went, and why not elsewhere.

const DECISION_COLUMNS = [["Time", "7%"], ["Asked for", "19%"], ["Answered by", "14%"], ["What happened", "25%"],
  ["Status", "7%"], ["Cache", "7%"], ["First byte", "7%", "number"], ["Total", "7%", "number"], ["Overhead", "7%", "number"]];

function levelOf(decision) {
  if (decision.status >= 500 || decision.outcome === "stream_broken") return "bad";
  return decision.status >= 400 ? "warn" : "ok";
}

function decisionRow(decision) {
  const time = new Date(decision.unix * 1000);
  const level = levelOf(decision);
  const isAnswered = decision.outcome === "ok";
  const status = make("span", {className: "state"}, make("span", {className: "mark", ariaHidden: "true"}),
    make("span", {className: "word", textContent: String(decision.status)}));
  status.dataset.level = level;
  const story = decision.attempts > 1 || !isAnswered ? decision.reasons : "";
  const outcome = isAnswered ? "" : readable(decision.outcome);
  const kind = [decision.api, decision.stream ? "stream" : ""].filter(Boolean).join(", ");
  const node = make("tr", {role: "row"},
    cell("", "nowrap soft", make("time", {dateTime: time.toISOString(), textContent: clockTime(time)})),
    cell("", "asked", decision.group || "–", make("span", {className: "soft", textContent: ` ${kind}`})),
    cell("", "answered", decision.endpoint || (decision.cache === "hit" ? "the cache" : "–")),
    cell("", "story", ...(story ? [story] : []), ...(outcome ? [make(story ? "small" : "span", {textContent: outcome})] : [])),
    cell("", "status", status),
    cell("Cache", "cache", decision.cache),
    cell("First byte", "number", milliseconds(decision.first_byte_ms)),
    cell("Total", "number", milliseconds(decision.total_ms)),
    cell("Overhead", "number", milliseconds(decision.overhead_ms)));
  return {node, update() {}};
}

const decisionTable = table("The last requests, the newest first", DECISION_COLUMNS);
const noDecision = make("p", {className: "nothing"});

function showDecisions({decisions, groups}) {
  const box = byId("decisions");
  if (!box.firstChild) {
    box.className = "decisions";
    box.append(noDecision, decisionTable.node);
  }
  setText(noDecision, `No request yet. Point a client's base URL at ${ROOT}/v1 and ask for ${groups.map((g) => g.model_group).slice(0, 3).join(", ")}.`);
  setHidden(noDecision, decisions.length > 0);
  setHidden(decisionTable.node, decisions.length === 0);
  keyed(decisionTable.body, decisions, (decision) => decision.request_id, decisionRow);
  setText(byId("decisions-note"), decisions.length ? `${plural(decisions.length, "request")}, the newest first` : "");
}
