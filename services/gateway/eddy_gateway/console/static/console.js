// The console: choose a scenario and a user, act, and watch the recommendations change. No build step, no dependencies.

const LIMIT = 10;
const PAST = { video: "watched", music: "played", shop: "viewed", search: "opened" };
const REASONS = {
  personal: "Chosen for you", trending: "Trending now", popular: "Popular here", new: "New",
  query: "Matches your search", exploration: "Something different, to learn what you like",
};
const CHARTS = [
  { name: "Hit rate of the first 10", value: (point) => point.hit_rate[state.scenario], show: (x) => `${(100 * x).toFixed(1)} %` },
  { name: "Action to release", value: (point) => point.fresh_sec, show: (x) => `${x.toFixed(2)} s` },
  { name: "Events", value: (point) => point.events_per_sec, show: (x) => `${x.toFixed(0)} / s` },
  { name: "Slates", value: (point) => point.lists_per_sec, show: (x) => `${x.toFixed(0)} / s` },
  { name: "Releases", value: (point) => point.releases, show: (_, points) => `${total(points.slice(-60))} / min` },
];

const $ = (id) => document.getElementById(id);
const state = { scenario: "", user: "", query: "", offset: null, places: new Map(), request: "", version: -1, titles: new Map() };
const points = [];
let scenarios = [];

start();

async function start() {
  const found = await fetch("/console/scenarios");
  if (!found.ok) return refused(found);
  scenarios = await found.json();
  for (const { name } of scenarios) $("scenario").append(new Option(name));
  const asked = new URLSearchParams(location.search);
  if (scenarios.some(({ name }) => name === asked.get("scenario"))) $("scenario").value = asked.get("scenario");
  $("user").value = asked.get("user") ?? guest();
  $("who").addEventListener("submit", (event) => { event.preventDefault(); meet(); });
  $("scenario").addEventListener("change", meet);
  $("nobody").addEventListener("click", () => { $("user").value = guest(); meet(); });
  $("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
  makeCharts();
  const pulse = new EventSource("/console/pulse");
  pulse.onmessage = (event) => { points.push(...JSON.parse(event.data)); points.splice(0, points.length - 300); drawCharts(); };
  await meet();
}

/** Access denied: ask for a key and keep it in a cookie, which event streams can carry too. */
async function refused(answer) {
  const { detail } = await answer.json();
  if (answer.status !== 401) { say(detail); setTimeout(() => location.reload(), 2000); return; }
  const key = prompt(`API key (${detail})`);
  if (!key) return say(detail);
  document.cookie = `eddy_key=${encodeURIComponent(key)}; path=/; samesite=strict`;
  location.reload();
}

function guest() {
  return `guest-${Math.random().toString(36).slice(2, 8)}`;
}

/** Switch to another user or scenario, and clear what belongs to the previous one. */
async function meet() {
  Object.assign(state, { scenario: $("scenario").value, user: $("user").value.trim(), query: "", offset: null });
  state.places.clear();
  $("query").value = "";
  $("history").replaceChildren();
  $("search").hidden = !chosen().searchable;
  history.replaceState(null, "", `?scenario=${encodeURIComponent(state.scenario)}&user=${encodeURIComponent(state.user)}`);
  await show(`Feed of ${state.user}`);
}

function chosen() {
  return scenarios.find(({ name }) => name === state.scenario);
}

async function search() {
  state.query = $("query").value.trim();
  state.places.clear();
  if (state.query) await publish([{ action: "search", query: state.query }]);
  await show(state.query ? `Results for “${state.query}”` : `Feed of ${state.user}`);
}

/** Request recommendations that include the last event, show them, and publish their impression. */
async function show(said) {
  const asked = new URLSearchParams({ scenario: state.scenario, limit: LIMIT });
  if (state.query) asked.set("query", state.query);
  if (state.offset !== null) asked.set("after_offset", state.offset);
  const answer = await fetch(`/v1/recommendations/${encodeURIComponent(state.user)}?${asked}`);
  const list = await answer.json();
  if (!answer.ok) return say(typeof list.detail === "string" ? list.detail : list.detail.map(({ msg }) => msg).join("; "));
  await learnTitles(list.items.map(({ item_id }) => item_id).concat(list.items.map(sourceItem).filter(Boolean)));
  state.request = list.request_id;
  showVersion(list.model_version);
  draw(list.items);
  say(list.items.length ? said : "Nothing to recommend yet. Publish items, or run: make replay");
  if (list.items.length) await publish([{ action: "impression", request_id: list.request_id }]);
}

function say(text) {
  $("said").textContent = text;
}

function showVersion(version) {
  $("model").textContent = version ? `model ${version}` : "no model yet";
  if (version !== state.version && state.version >= 0) {
    $("model").classList.remove("tick");
    requestAnimationFrame(() => $("model").classList.add("tick"));
  }
  state.version = version;
}

function sourceItem({ reason }) {
  return /^(covisited|similar_to):/.test(reason) ? reason.slice(reason.indexOf(":") + 1) : "";
}

async function learnTitles(ids) {
  const unknown = [...new Set(ids)].filter((id) => !state.titles.has(id));
  if (!unknown.length) return;
  const asked = new URLSearchParams(unknown.map((id) => ["item_id", id]));
  const { items } = await (await fetch(`/console/items?${asked}`)).json();
  for (const [id, found] of Object.entries(items)) state.titles.set(id, found);
}

function titleOf(id) {
  return state.titles.get(id)?.title || id;
}

function why(item) {
  const source = sourceItem(item);
  const past = PAST[state.scenario] ?? "chose";
  if (source) return item.reason.startsWith("similar_to") ? `Like “${titleOf(source)}”, which you ${past}` : `Because you ${past} “${titleOf(source)}”`;
  return REASONS[item.reason] ?? "";
}

function draw(items) {
  const former = new Map(state.places);
  state.places = new Map(items.map(({ item_id }, place) => [item_id, place]));
  const kept = document.activeElement?.closest("#feed li")?.dataset.place;
  $("feed").replaceChildren(...items.map((item, place) => line(item, place, former)));
  if (kept !== undefined) $("feed").children[Math.min(kept, items.length - 1)]?.querySelector(".title").focus();
}

function line(item, place, former) {
  const made = $("item").content.cloneNode(true).firstElementChild;
  made.dataset.item = item.item_id;
  made.dataset.place = place;
  const part = (name) => made.querySelector(`.${name}`);
  part("title").textContent = titleOf(item.item_id);
  part("title").addEventListener("click", () => act(item, place, "click"));
  part("categories").textContent = (state.titles.get(item.item_id)?.categories ?? []).join(", ");
  part("why").textContent = why(item);
  part("source").textContent = item.source;
  part("score").textContent = item.score.toFixed(2);
  part("score").title = "Ranking score";
  moved(part("move"), place, former);
  part("actions").setAttribute("aria-label", `Actions on ${titleOf(item.item_id)}`);
  for (const action of chosen().actions) part("actions").append(button(item, place, action));
  return made;
}

function moved(mark, place, former) {
  if (!former.size) return;
  const before = former.get(mark.closest("li").dataset.item);
  const [kind, text] = before === undefined ? ["new", "new"] : before > place ? ["up", `up ${before - place}`]
    : before < place ? ["down", `down ${place - before}`] : ["", ""];
  mark.textContent = text;
  if (kind) mark.classList.add(kind);
}

function button(item, place, { name, value }) {
  if (name !== "rate") return plain(words(name), () => act(item, place, name));
  const stars = document.createElement("span");
  stars.className = "stars";
  for (let stars_ = value?.min ?? 1; stars_ <= (value?.max ?? 5); stars_ += 1) {
    const star = plain("★", () => act(item, place, name, stars_));
    star.setAttribute("aria-label", `Rate ${stars_}`);
    stars.append(star);
  }
  return stars;
}

function plain(text, then) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", then);
  return made;
}

function words(action) {
  return action.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());
}

async function act(item, place, action, value = null) {
  const done = document.createElement("li");
  done.textContent = `${words(action)}${value === null ? "" : ` ${value}`}: ${titleOf(item.item_id)}`;
  $("history").prepend(done);
  const event = { action, item_id: item.item_id, value, request_id: state.request, position: place };
  if (await publish([event])) await show(`Updated after “${done.textContent}”`);
}

/** Publish what the user did, and remember its offset: the next recommendations must include it. */
async function publish(events) {
  const body = events.map((event) => ({ user_id: state.user, scenario: state.scenario, ...event }));
  const answer = await fetch("/v1/events", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const said = await answer.json();
  if (answer.ok) state.offset = said.accepted.at(-1).offset;
  else say(typeof said.detail === "string" ? said.detail : said.detail.map(({ msg }) => msg).join("; "));
  return answer.ok;
}

function makeCharts() {
  for (const { name } of CHARTS) {
    const made = $("chart").content.cloneNode(true).firstElementChild;
    made.querySelector(".name").textContent = name;
    made.querySelector("svg").setAttribute("aria-label", `${name}, the last five minutes`);
    made.dataset.chart = name;
    $("charts").append(made);
  }
}

function drawCharts() {
  for (const { name, value, show: shown } of CHARTS) {
    const figure = document.querySelector(`[data-chart="${name}"]`);
    const values = points.map((point) => value(point) ?? null);
    const known = values.filter((one) => one !== null);
    if (!known.length) { figure.querySelector(".now").textContent = "no data yet"; continue; }
    const most = Math.max(...known, 1e-9);
    const wide = Math.max(points.length, 60) - 1;
    const at = (one, place) => `${(300 * (1 - (points.length - 1 - place) / wide)).toFixed(1)},${(46 - (44 * one) / most).toFixed(1)}`;
    const line_ = values.map((one, place) => (one === null ? "" : at(one, place))).filter(Boolean);
    figure.querySelector("polyline").setAttribute("points", line_.join(" "));
    figure.querySelector(".now").textContent = shown(known.at(-1), values);
  }
  if (points.length) announceVersion(points.at(-1).version);
}

/** A new release highlights the badge, even without a new request. */
function announceVersion(version) {
  if (version > state.version && state.version >= 0) showVersion(version);
}

function total(values) {
  return values.reduce((sum, one) => sum + (one ?? 0), 0);
}
