// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const compact = new Intl.NumberFormat("en", {notation: "compact", maximumSignificantDigits: 3});

const count = (value) => (value < 10000 ? whole.format(value) : compact.format(value));
const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

function percent(fraction, digits = fraction > 0 && fraction < 0.1 ? 1 : 0) {
  return `${(fraction * 100).toFixed(fraction === 1 ? 0 : digits)} %`;
}


// Of a currency: two decimals, six where these would say nothing.
function money(amount) {
  const digits = amount !== 0 && Math.abs(amount) < 0.01 ? 6 : 2;
  return amount.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
}

// Beside a sum the part of the traffic that is in it.
const coverage = (known, all) => (all ? ` (${percent(known / all)} known)` : "");

const partOf = (known, all) => (all ? `${percent(known / all)} of ${count(all)}` : "–");

function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 10) return `${value.toFixed(2)} ms`;
  if (value < 1000) return `${value.toFixed(0)} ms`;
  return value < 10000 ? `${(value / 1000).toFixed(2)} s` : `${(value / 1000).toFixed(0)} s`;
}

function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return s < 600 && s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function bytes(value) {
  if (value < 1024) return `${value} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let scaled = value / 1024;
  while (scaled >= 1024 && units.length > 1) {
    scaled /= 1024;
    units.shift();
  }
  return `${scaled < 10 ? scaled.toFixed(1) : scaled.toFixed(0)} ${units[0]}`;
}

const twoDigits = (value) => String(value).padStart(2, "0");

function clockTime(date) {
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(":");
}

function medianAndMost(quantiles) {
  return quantiles ? `${milliseconds(quantiles.p50)} (99 %: ${milliseconds(quantiles.p99)})` : "–";
}

// Kinds and how often, the most frequent first.
function kinds(counts) {
  return Object.entries(counts).sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
}

const readable = (name) => name.replaceAll("_", " ");
