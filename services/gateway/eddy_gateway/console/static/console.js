// The console: choose a scenario and a user, act, and watch the recommendations change. No build step, no dependencies.

const LIMIT = 10;
const PAST_TENSE = { video: "watched", music: "played", shop: "viewed", search: "opened" };
const REASONS = {
  personal: "Chosen for you", trending: "Trending now", popular: "Popular here", new: "New",
  query: "Matches your search", exploration: "Something different, to learn what you like",
};
const CHARTS = [
  { name: "Hit rate of the first 10", value: (point) => point.hit_rate[state.scenario], format: (value) => `${(100 * value).toFixed(1)} %` },
  { name: "Action to release", value: (point) => point.action_to_release_sec, format: (value) => `${value.toFixed(2)} s` },
  { name: "Events", value: (point) => point.events_per_sec, format: (value) => `${value.toFixed(0)} / s` },
  { name: "Slates", value: (point) => point.slates_per_sec, format: (value) => `${value.toFixed(0)} / s` },
  { name: "Releases", value: (point) => point.releases, format: (_, values) => `${sum(values.slice(-60))} / min` },
];
const MAX_POINTS = 300;

const $ = (id) => document.getElementById(id);
const state = {
  scenario: "", user: "", query: "", offset: null, positions: new Map(), requestId: "", modelVersion: -1, titles: new Map(),
};
const points = [];
let scenarios = [];

start();

async function start() {
  const response = await fetch("/console/scenarios");
  if (!response.ok) return handleRefusal(response);
  scenarios = await response.json();
  for (const { name } of scenarios) $("scenario").append(new Option(name));
  const parameters = new URLSearchParams(location.search);
  if (scenarios.some(({ name }) => name === parameters.get("scenario"))) $("scenario").value = parameters.get("scenario");
  $("user").value = parameters.get("user") ?? guestId();
  $("user-form").addEventListener("submit", (event) => { event.preventDefault(); switchUser(); });
  $("scenario").addEventListener("change", switchUser);
  $("new-user").addEventListener("click", () => { $("user").value = guestId(); switchUser(); });
  $("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
  createCharts();
  const stream = new EventSource("/console/loop");
  stream.onmessage = (event) => {
    points.push(...JSON.parse(event.data));
    points.splice(0, points.length - MAX_POINTS);
    updateCharts();
  };
  await switchUser();
}

/** Access denied: ask for a key, which the gateway keeps in a cookie, as event streams can carry no other. */
async function handleRefusal(response) {
  const { detail } = await response.json();
  if (response.status !== 401) { setStatus(detail); setTimeout(() => location.reload(), 2000); return; }
  const key = prompt(`API key. ${detail}`);
  if (!key) return setStatus(detail);
  const login = await fetch("/console/login", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key }),
  });
  if (login.ok) location.reload();
  else setStatus(errorText(await login.json()));
}

function guestId() {
  return `guest-${Math.random().toString(36).slice(2, 8)}`;
}

/** Switch to another user or scenario, and clear what belongs to the previous one. */
async function switchUser() {
  Object.assign(state, { scenario: $("scenario").value, user: $("user").value.trim(), query: "", offset: null });
  state.positions.clear();
  $("query").value = "";
  $("history").replaceChildren();
  $("search").hidden = !currentScenario().searchable;
  history.replaceState(null, "", `?scenario=${encodeURIComponent(state.scenario)}&user=${encodeURIComponent(state.user)}`);
  await loadFeed(`Feed of ${state.user}`);
}

function currentScenario() {
  return scenarios.find(({ name }) => name === state.scenario);
}

async function search() {
  state.query = $("query").value.trim();
  state.positions.clear();
  if (state.query) await publish([{ action: "search", query: state.query }]);
  await loadFeed(state.query ? `Results for “${state.query}”` : `Feed of ${state.user}`);
}

/** Request recommendations that include the last event, show them, and publish their impression. */
async function loadFeed(status) {
  const parameters = new URLSearchParams({ scenario: state.scenario, limit: LIMIT });
  if (state.query) parameters.set("query", state.query);
  if (state.offset !== null) parameters.set("after_offset", state.offset);
  const response = await fetch(`/v1/recommendations/${encodeURIComponent(state.user)}?${parameters}`);
  const answer = await response.json();
  if (!response.ok) return setStatus(errorText(answer));
  await loadTitles(answer.items.flatMap((item) => [item.item_id, sourceItem(item)]).filter(Boolean));
  state.requestId = answer.request_id;
  showModelVersion(answer.model_version);
  renderFeed(answer.items);
  setStatus(answer.items.length ? status : "Nothing to recommend yet. Publish items, or run: make replay");
  if (answer.items.length) await publish([{ action: "impression", request_id: answer.request_id }]);
}

function errorText({ detail }) {
  return typeof detail === "string" ? detail : detail.map(({ msg }) => msg).join("; ");
}

function setStatus(text) {
  $("status").textContent = text;
}

function showModelVersion(version) {
  $("model-version").textContent = version ? `model ${version}` : "no model yet";
  if (version !== state.modelVersion && state.modelVersion >= 0) {
    $("model-version").classList.remove("updated");
    requestAnimationFrame(() => $("model-version").classList.add("updated"));
  }
  state.modelVersion = version;
}

/** The item that a recommendation is based on, if its reason names one. */
function sourceItem({ reason }) {
  return /^(covisited|similar_to):/.test(reason) ? reason.slice(reason.indexOf(":") + 1) : "";
}

async function loadTitles(ids) {
  const missing = [...new Set(ids)].filter((id) => !state.titles.has(id));
  if (!missing.length) return;
  const parameters = new URLSearchParams(missing.map((id) => ["item_id", id]));
  const { items } = await (await fetch(`/console/items?${parameters}`)).json();
  for (const [id, item] of Object.entries(items)) state.titles.set(id, item);
}

function titleOf(id) {
  return state.titles.get(id)?.title || id;
}

function reasonText(item) {
  const source = sourceItem(item);
  const verb = PAST_TENSE[state.scenario] ?? "chose";
  if (source) return item.reason.startsWith("similar_to") ? `Like “${titleOf(source)}”, which you ${verb}` : `Because you ${verb} “${titleOf(source)}”`;
  return REASONS[item.reason] ?? "";
}

function renderFeed(items) {
  const formerPositions = new Map(state.positions);
  state.positions = new Map(items.map(({ item_id }, position) => [item_id, position]));
  const focused = document.activeElement?.closest("#feed li")?.dataset.position;
  $("feed").replaceChildren(...items.map((item, position) => renderItem(item, position, formerPositions)));
  if (focused !== undefined) $("feed").children[Math.min(focused, items.length - 1)]?.querySelector(".title").focus();
}

function renderItem(item, position, formerPositions) {
  const row = $("item").content.cloneNode(true).firstElementChild;
  row.dataset.item = item.item_id;
  row.dataset.position = position;
  const part = (name) => row.querySelector(`.${name}`);
  part("title").textContent = titleOf(item.item_id);
  part("title").addEventListener("click", () => act(item, position, "click"));
  part("categories").textContent = (state.titles.get(item.item_id)?.categories ?? []).join(", ");
  part("reason").textContent = reasonText(item);
  part("source").textContent = item.source;
  part("score").textContent = item.score.toFixed(2);
  part("score").title = "Ranking score";
  renderChange(part("change"), position, formerPositions);
  part("actions").setAttribute("aria-label", `Actions on ${titleOf(item.item_id)}`);
  for (const action of currentScenario().actions) part("actions").append(actionControl(item, position, action));
  return row;
}

/** How far the item has moved since the last recommendations. */
function renderChange(label, position, formerPositions) {
  if (!formerPositions.size) return;
  const former = formerPositions.get(label.closest("li").dataset.item);
  const [kind, text] = former === undefined ? ["new", "new"] : former > position ? ["up", `up ${former - position}`]
    : former < position ? ["down", `down ${position - former}`] : ["", ""];
  label.textContent = text;
  if (kind) label.classList.add(kind);
}

/** A button for the action; for ratings, one star for each value. */
function actionControl(item, position, { name, value: range }) {
  if (name !== "rate") return button(actionLabel(name), () => act(item, position, name));
  const stars = document.createElement("span");
  stars.className = "stars";
  for (let rating = range?.min ?? 1; rating <= (range?.max ?? 5); rating += 1) {
    const star = button("★", () => act(item, position, name, rating));
    star.setAttribute("aria-label", `Rate ${rating}`);
    stars.append(star);
  }
  return stars;
}

function button(text, onClick) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.addEventListener("click", onClick);
  return element;
}

function actionLabel(action) {
  return action.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());
}

/** Publish an action on an item, list it under the user's actions, and load new recommendations. */
async function act(item, position, action, value = null) {
  const entry = document.createElement("li");
  entry.textContent = `${actionLabel(action)}${value === null ? "" : ` ${value}`}: ${titleOf(item.item_id)}`;
  $("history").prepend(entry);
  const event = { action, item_id: item.item_id, value, request_id: state.requestId, position };
  if (await publish([event])) await loadFeed(`Updated after “${entry.textContent}”`);
}

/** Publish what the user did, and remember its offset: the next recommendations must include it. */
async function publish(events) {
  const body = events.map((event) => ({ user_id: state.user, scenario: state.scenario, ...event }));
  const response = await fetch("/v1/events", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (response.ok) state.offset = answer.accepted.at(-1).offset;
  else setStatus(errorText(answer));
  return response.ok;
}

function createCharts() {
  for (const { name } of CHARTS) {
    const figure = $("chart").content.cloneNode(true).firstElementChild;
    figure.querySelector(".name").textContent = name;
    figure.querySelector("svg").setAttribute("aria-label", `${name}, the last five minutes`);
    figure.dataset.chart = name;
    $("charts").append(figure);
  }
}

function updateCharts() {
  for (const { name, value: valueOf, format } of CHARTS) {
    const figure = document.querySelector(`[data-chart="${name}"]`);
    const values = points.map((point) => valueOf(point) ?? null);
    const present = values.filter((value) => value !== null);
    if (!present.length) { figure.querySelector(".latest").textContent = "no data yet"; continue; }
    const highest = Math.max(...present, 1e-9);
    const intervals = Math.max(points.length, 60) - 1;
    const coordinates = (value, index) => {
      const x = 300 * (1 - (points.length - 1 - index) / intervals);
      return `${x.toFixed(1)},${(46 - (44 * value) / highest).toFixed(1)}`;
    };
    const polyline = values.map((value, index) => (value === null ? "" : coordinates(value, index))).filter(Boolean);
    figure.querySelector("polyline").setAttribute("points", polyline.join(" "));
    figure.querySelector(".latest").textContent = format(present.at(-1), values);
  }
  if (points.length) announceModelVersion(points.at(-1).version);
}

/** A new release highlights the badge, even without a new request. */
function announceModelVersion(version) {
  if (version > state.modelVersion && state.modelVersion >= 0) showModelVersion(version);
}

function sum(values) {
  return values.reduce((total, value) => total + (value ?? 0), 0);
}
