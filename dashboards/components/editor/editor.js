// Mask editor: paints a class map over a frame, entirely in the browser.
//
// Input: data of `mask_editor` (__init__.py). Output: trigger "action" {action, id, mask, answered},
// trigger "guide" {id, n, mask, class, pixels} for a scribble of the tool Guided, answered by
// data.guided; state "guiding" once that tool was chosen, which asks for data.map; state "draft" {id, mask} while data.sync is set, state "who" with the name that this
// browser stores.
// A mask travels as runs: base64 of little-endian uint32, class << 24 | length.

const MOST_STEPS = 300;
const MOST_DRAFTS = 40;
const MOST_BYTES = 2e8;
const TIMEOUT_MS = 20000;
const NAME_KEY = "spinscope reviewer";

// Kept by the module, so that drafts and preferences survive a re-run and a visit to another page.
const drafts = new Map(); // frame id → draft
const preferences = { tool: 1, size: 9, opacity: 45, contour: false, hidden: false, view: null };
const editors = new WeakMap(); // element → editor
let shown = null; // draft that was shown last
let guides = 0; // clicks and scribbles that the server was asked about
let commanded = null; // number of the last command

export default function (component) {
  const { parentElement } = component;
  let editor = editors.get(parentElement);
  if (!editor || !editor.alive()) {
    editor?.close();
    editor = new Editor(parentElement);
    editors.set(parentElement, editor);
  }
  editor.update(component);
  return () => {
    editor.close();
    editors.delete(parentElement);
  };
}

// ---------------------------------------------------------------- masks

function decode(text, size) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const runs = new Uint32Array(bytes.buffer);
  const mask = new Uint8Array(size);
  let at = 0;
  for (const run of runs) {
    const end = at + (run & 0xffffff);
    mask.fill(run >>> 24, at, end);
    at = end;
  }
  return mask;
}

function encode(mask) {
  const runs = [];
  for (let start = 0; start < mask.length; ) {
    const value = mask[start];
    let end = start + 1;
    while (end < mask.length && mask[end] === value) end++;
    runs.push(((value << 24) | (end - start)) >>> 0);
    start = end;
  }
  const bytes = new Uint8Array(new Uint32Array(runs).buffer);
  let text = "";
  for (let k = 0; k < bytes.length; k += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(k, k + 0x8000));
  }
  return btoa(text);
}

function same(a, b) {
  if (a.length !== b.length) return false;
  for (let k = 0; k < a.length; k++) if (a[k] !== b[k]) return false;
  return true;
}

// Indices of the 8-connected pixels of one class around a pixel; `seen` is shared between calls.
function region(mask, width, height, start, seen) {
  const value = mask[start];
  const found = [];
  if (seen[start]) return found;
  const stack = [start];
  seen[start] = 1;
  while (stack.length) {
    const at = stack.pop();
    found.push(at);
    const x = at % width;
    const y = (at - x) / width;
    for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
      for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
        const k = v * width + u;
        if (!seen[k] && mask[k] === value) {
          seen[k] = 1;
          stack.push(k);
        }
      }
    }
  }
  return found;
}

// Median area of the objects of a class, as `typical_area` of spinscope.analysis.clicks.
export function typicalArea(mask, width, height, value) {
  const seen = new Uint8Array(mask.length);
  const areas = [];
  for (let k = 0; k < mask.length; k++) {
    if (mask[k] === value && !seen[k]) areas.push(region(mask, width, height, k, seen).length);
  }
  return areas.length ? median(areas) : 64;
}

function median(values) {
  values.sort((a, b) => a - b);
  const half = values.length >> 1;
  return values.length % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Indices of the pixels that a click adds, as `click` of spinscope.analysis.clicks: the map (0 to 65535),
// averaged with a usual object, is flooded down to a level between its surroundings and its peak.
export function flood(mask, map, width, height, x, y, area) {
  const margin = Math.max(12, Math.ceil(5 * Math.sqrt(area / Math.PI)));
  const [x0, y0] = [Math.max(0, x - margin), Math.max(0, y - margin)];
  const [x1, y1] = [Math.min(width, x + margin + 1), Math.min(height, y + margin + 1)];
  const w = x1 - x0;
  const h = y1 - y0;
  const place = (k) => (y0 + Math.floor(k / w)) * width + x0 + (k % w);
  const p = new Float64Array(w * h);
  const usual = new Float64Array(w * h);
  const free = new Uint8Array(w * h);
  const radius2 = area / Math.PI;
  const around = [];
  const disc = [];
  const start = (y - y0) * w + x - x0;
  let peak = start;
  for (let k = 0; k < w * h; k++) {
    const at = place(k);
    p[k] = map[at] / 65535;
    free[k] = mask[at] === 0 ? 1 : 0;
    if (!free[k]) continue;
    const d2 = (y0 + Math.floor(k / w) - y) ** 2 + (x0 + (k % w) - x) ** 2;
    usual[k] = 1 / (1 + Math.exp(Math.sqrt(d2) - Math.sqrt(radius2)));
    if (d2 <= 4 && (p[k] > p[peak] || (p[k] === p[peak] && k < peak))) peak = k;
    if (d2 > 2.5 * radius2 && d2 < 16 * radius2) around.push(p[k]);
    if (d2 <= radius2) disc.push(at);
  }
  const low = around.length ? median(around) : 0;
  const rise = p[peak] - low;
  if (rise <= 0) return disc;
  const spread = (inside, seeds) => {
    const seen = new Uint8Array(w * h);
    const stack = seeds.filter(inside);
    for (const k of stack) seen[k] = 1;
    let count = 0;
    while (stack.length) {
      const k = stack.pop();
      count++;
      const u = k % w;
      for (const [next, ok] of [[k - 1, u > 0], [k + 1, u < w - 1], [k - w, k >= w], [k + w, k < w * (h - 1)]]) {
        if (ok && !seen[next] && inside(next)) {
          seen[next] = 1;
          stack.push(next);
        }
      }
    }
    return { seen, count };
  };
  const heights = p.map((v, k) => (Math.min(1.5, Math.max(0, (v - low) / rise)) + usual[k]) / 2);
  let found;
  for (let step = 0; step < 7; step++) {
    found = spread((k) => k === peak || (free[k] && heights[k] >= 0.35 + 0.1 * step), [peak]);
    if (found.count <= 2 * area) break;
  }
  const border = [];
  for (let k = 0; k < w * h; k++) {
    const u = k % w;
    if (u === 0 || u === w - 1 || k < w || k >= w * (h - 1)) border.push(k);
  }
  const outside = spread((k) => !found.seen[k], border).seen;
  const pixels = [];
  for (let k = 0; k < w * h; k++) {
    if (k === start || (free[k] && !outside[k])) pixels.push(place(k));
  }
  return pixels;
}

function makeDraft(data) {
  const [height, width] = data.shape;
  const start = decode(data.mask, height * width);
  return {
    id: data.id, height, width, start, mask: start.slice(), undo: [], redo: [],
    before: null, rect: null, asked: null, dim: null, dimText: "", sent: null,
  };
}

// Draft of a frame and a reviewer. A draft that was just saved continues under its new name, with its
// history and with later strokes.
function draftOf(data, last) {
  let draft;
  if (last && last.frame === data.frame && last.sent === data.mask) {
    draft = last;
    draft.start = decode(data.mask, draft.mask.length);
    draft.sent = null;
  } else {
    draft = drafts.get(data.id) ?? drafts.get(data.unnamed) ?? makeDraft(data);
  }
  drafts.delete(draft.id); // its name before it was saved, or before a name was typed
  draft.id = data.id;
  draft.frame = data.frame;
  drafts.delete(data.id);
  drafts.set(data.id, draft); // newest last
  forget(data.id);
  return draft;
}

// Drops the oldest drafts once there are many; drafts with unsaved strokes are dropped last.
function forget(kept) {
  const bytes = () => [...drafts.values()].reduce((sum, draft) => sum + 2 * draft.mask.length, 0);
  for (const limit of [1, 3]) {
    for (const [id, old] of drafts) {
      if (drafts.size <= limit * MOST_DRAFTS && bytes() <= limit * MOST_BYTES) return;
      const bare = same(old.mask, old.start);
      if (id !== kept && (bare || limit > 1)) drafts.delete(id);
    }
  }
}

// ---------------------------------------------------------------- edits

const wide = (draft) => ({ x0: draft.width, y0: draft.height, x1: 0, y1: 0 });

function grow(rect, x0, y0, x1, y1) {
  rect.x0 = Math.min(rect.x0, x0);
  rect.y0 = Math.min(rect.y0, y0);
  rect.x1 = Math.max(rect.x1, x1);
  rect.y1 = Math.max(rect.y1, y1);
}

function cut(mask, width, { x0, y0, x1, y1 }) {
  const part = new Uint8Array((x1 - x0) * (y1 - y0));
  for (let y = y0; y < y1; y++) {
    part.set(mask.subarray(y * width + x0, y * width + x1), (y - y0) * (x1 - x0));
  }
  return part;
}

function paste(mask, width, part, { x0, y0, x1, y1 }) {
  for (let y = y0; y < y1; y++) {
    const row = (y - y0) * (x1 - x0);
    mask.set(part.subarray(row, row + x1 - x0), y * width + x0);
  }
}

function begin(draft) {
  draft.before = draft.mask.slice();
  draft.rect = wide(draft);
}

// Ends an edit as one step of the history; returns false if nothing changed.
function commit(draft) {
  const { before, rect, width } = draft;
  draft.before = null;
  if (!before || rect.x1 <= rect.x0 || rect.y1 <= rect.y0) return false;
  const step = { rect, before: cut(before, width, rect), after: cut(draft.mask, width, rect) };
  if (same(step.before, step.after)) return false;
  draft.undo.push(step);
  if (draft.undo.length > MOST_STEPS) draft.undo.shift();
  draft.redo.length = 0;
  return true;
}

function setPixels(draft, indices, value) {
  for (const k of indices) {
    const x = k % draft.width;
    const y = (k - x) / draft.width;
    draft.mask[k] = value;
    if (draft.dim) draft.dim[k] = 0;
    grow(draft.rect, x, y, x + 1, y + 1);
  }
}

// Paints every pixel whose centre is within `radius` of the segment from a to b.
function stroke(draft, a, b, radius, value) {
  const r = Math.max(radius, 0.71);
  const x0 = Math.max(0, Math.floor(Math.min(a.x, b.x) - r));
  const y0 = Math.max(0, Math.floor(Math.min(a.y, b.y) - r));
  const x1 = Math.min(draft.width, Math.ceil(Math.max(a.x, b.x) + r) + 1);
  const y1 = Math.min(draft.height, Math.ceil(Math.max(a.y, b.y) + r) + 1);
  if (x1 <= x0 || y1 <= y0) return null;
  const dx = b.x - a.x;
  const dy = b.y - a.y;
  const length = dx * dx + dy * dy;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const px = x + 0.5 - a.x;
      const py = y + 0.5 - a.y;
      const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const u = px - t * dx;
      const v = py - t * dy;
      if (u * u + v * v <= r * r) {
        const k = y * draft.width + x;
        draft.mask[k] = value;
        if (draft.dim) draft.dim[k] = 0;
      }
    }
  }
  grow(draft.rect, x0, y0, x1, y1);
  return { x0, y0, x1, y1 };
}

// Pixels [y, x] of a line from a to b, in the frame.
function line(draft, a, b) {
  const n = Math.ceil(Math.max(Math.abs(b.x - a.x), Math.abs(b.y - a.y), 1));
  const found = [];
  for (let k = 0; k <= n; k++) {
    const x = Math.floor(a.x + (k / n) * (b.x - a.x));
    const y = Math.floor(a.y + (k / n) * (b.y - a.y));
    if (x >= 0 && y >= 0 && x < draft.width && y < draft.height) found.push([y, x]);
  }
  return found;
}

// ---------------------------------------------------------------- the editor

class Editor {
  constructor(root) {
    this.root = root;
    this.element = root.querySelector(".editor");
    this.canvas = root.querySelector("canvas.view");
    this.context = this.canvas.getContext("2d");
    this.frame = document.createElement("canvas");
    this.layer = document.createElement("canvas");
    this.answered = -1;
    this.waiting = null;
    this.pointer = null;
    this.drag = null;
    this.saving = null; // mask that the server has not confirmed yet
    this.steps = 0; // guided edits that were shown
    this.listen();
  }

  alive() {
    return this.element.isConnected && this.root.contains(this.element);
  }

  $(selector) {
    return this.root.querySelector(selector);
  }

  listen() {
    const stop = (this.stopped = new AbortController());
    const on = (target, name, act, more = {}) =>
      target.addEventListener(name, act, { signal: stop.signal, ...more });
    on(this.canvas, "pointerdown", (e) => this.down(e));
    on(this.canvas, "pointermove", (e) => this.move(e));
    on(this.canvas, "pointerup", (e) => this.up(e));
    on(this.canvas, "pointercancel", (e) => this.up(e));
    on(this.canvas, "pointerleave", () => {
      this.pointer = null;
      this.draw();
    });
    on(this.canvas, "contextmenu", (e) => e.preventDefault());
    on(this.canvas, "wheel", (e) => this.wheel(e), { passive: false });
    // Handled before Streamlit's shortcuts: R would re-run the page.
    on(window, "keydown", (e) => this.key(e), { capture: true });
    on(this.$(".size"), "input", (e) => this.setSize(Number(e.target.value)));
    on(this.$(".opacity"), "input", (e) => {
      preferences.opacity = Number(e.target.value);
      this.show();
    });
    on(this.$(".contour"), "click", () => this.toggle("contour"));
    on(this.$(".hide"), "click", () => this.toggle("hidden"));
    on(this.$(".fit"), "click", () => this.fit());
    on(this.$(".undo"), "click", () => this.step("undo"));
    on(this.$(".redo"), "click", () => this.step("redo"));
    for (const button of this.root.querySelectorAll("[data-tool]")) {
      on(button, "click", () => this.choose(button.dataset.tool));
    }
    for (const button of this.root.querySelectorAll("[data-action]")) {
      on(button, "click", () => this.act(button.dataset.action));
    }
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.$(".stage"));
    on(window, "resize", () => this.resize());
  }

  close() {
    this.stopped.abort();
    this.observer.disconnect();
    clearTimeout(this.waiting);
    clearTimeout(this.syncing);
  }

  update({ data, setTriggerValue, setStateValue }) {
    this.trigger = setTriggerValue;
    this.setState = setStateValue;
    if (this.data && this.data.who !== data.who) this.$(".notice").classList.remove("shown");
    const classes = !this.data || this.data.classes.join() !== data.classes.join();
    this.data = data;
    if (classes) this.makeClasses();
    this.remember();
    if (data.answered !== this.answered) {
      // The server has completed or refused the action.
      this.answered = data.answered;
      clearTimeout(this.waiting);
      this.waiting = null;
      if (data.notice) this.say(data.notice.text, data.notice.bad);
      if (data.notice && !data.notice.bad) drafts.delete(this.settled?.id);
      this.settled = null;
      this.saving = null;
    }
    const fresh = !this.draft || this.draft.id !== data.id || !drafts.has(data.id);
    if (fresh) {
      // A list in which the mask was chosen keeps the keys otherwise.
      if (document.activeElement?.getAttribute("role") === "combobox") document.activeElement.blur();
      const draft = draftOf(data, shown);
      if (this.drag && draft !== this.draft) this.finish();
      this.draft = shown = draft;
    }
    if (this.image !== data.image) this.load(data.image);
    if (this.mapUrl !== data.map) this.loadMap(data.map);
    this.wish();
    this.command(data.command);
    this.guided(data.guided);
    this.dim(data.dim);
    if (fresh) this.paint();
    this.resize();
    this.show();
    if (data.sync && this.sent !== this.draft.id) this.sync(0);
  }

  // Stores the name of the reviewer in this browser.
  remember() {
    try {
      const kept = localStorage.getItem(NAME_KEY);
      if (this.data.who) localStorage.setItem(NAME_KEY, this.data.who);
      else if (kept && !this.offered) {
        this.offered = true;
        this.setState("who", kept);
      }
    } catch {
      // This browser stores nothing; the name has to be typed again.
    }
  }

  load(url) {
    this.image = url;
    const image = new Image();
    image.onload = () => {
      if (this.image !== url) return;
      this.frame.width = image.width;
      this.frame.height = image.height;
      this.frame.getContext("2d").drawImage(image, 0, 0);
      this.draw();
    };
    image.src = url;
  }

  // Reads the probability map from its image: red and green hold the high and the low byte.
  loadMap(url) {
    this.mapUrl = url;
    this.map = null;
    this.element.dataset.map = "none";
    if (!url) return;
    const image = new Image();
    image.onload = () => {
      if (this.mapUrl !== url) return;
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, image.width, image.height);
      this.map = Uint16Array.from({ length: data.length / 4 }, (_, k) => (data[4 * k] << 8) | data[4 * k + 1]);
      this.element.dataset.map = "ready";
    };
    image.src = url;
  }

  // Asks for the probability map once the tool that needs it was chosen.
  wish() {
    if (preferences.tool !== "guided" || this.data.map || this.wished) return;
    this.wished = true;
    this.setState("guiding", true);
  }

  makeClasses() {
    const place = this.$(".classes");
    place.replaceChildren();
    this.data.classes.forEach((name, k) => {
      if (k === 0) return;
      const button = document.createElement("button");
      button.className = "tool";
      button.dataset.tool = String(k);
      button.title = `Brush: ${name} (${k})`;
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = `rgb(${this.data.colours[k].join()})`;
      button.append(swatch, name);
      button.addEventListener("click", () => this.choose(String(k)));
      place.append(button);
    });
    const keys = [
      ["1", "2"].slice(0, this.data.classes.length - 1).join(" ") + "|brush", "E|eraser",
      "W|guided", "D|delete", "O|add object", "[ ]|size", "Z Y|undo, redo", "H|hide", "C|outlines",
      "wheel|zoom", "⇧ drag|pan", "F|fit", "A|accept", "S|save", "R|reject", "T|propose",
      "N P|next, previous", "← ↑ → ↓|pointer", "Enter|click", "⇧Enter|right click", "Q|pen down, up",
      "J K|next, previous object", "+ −|zoom",
    ];
    this.$(".help").replaceChildren(
      ...keys.map((entry) => {
        const [names, what] = entry.split("|");
        const line = document.createElement("span");
        const parts = names.includes("drag") ? [names] : names.split(" ");
        for (const part of parts) {
          const kbd = document.createElement("kbd");
          kbd.textContent = part;
          line.append(kbd);
        }
        line.append(what);
        return line;
      }),
    );
  }

  // ---- requests of the server

  command(command) {
    const { draft } = this;
    if (!command || command.n === commanded) return;
    commanded = command.n;
    if (command.id !== draft.id) return;
    const seen = new Uint8Array(draft.mask.length);
    begin(draft);
    for (const [y, x] of command.seeds) {
      const k = y * draft.width + x;
      if (draft.mask[k]) setPixels(draft, region(draft.mask, draft.width, draft.height, k, seen), 0);
    }
    if (commit(draft)) this.edited();
  }

  // Takes over the server's answer to a click or scribble; strokes made in between are kept.
  guided(answer) {
    const { draft } = this;
    if (!answer || !draft.asked || answer.id !== draft.asked.id || answer.n !== draft.asked.n) return;
    const { sent, at } = draft.asked;
    draft.asked = null;
    if (answer.error) return this.say(answer.error, true);
    const found = decode(answer.mask, sent.length);
    begin(draft);
    for (let k = 0; k < found.length; k++) {
      if (found[k] !== sent[k]) setPixels(draft, [k], found[k]);
    }
    this.guidedDone(at);
  }

  // Ends a guided edit that began at a time in ms.
  guidedDone(began) {
    if (commit(this.draft)) this.edited(this.draft.undo.at(-1).rect);
    // One frame later, what was drawn has been shown.
    requestAnimationFrame(() => {
      this.element.dataset.steps = String((this.steps += 1));
      this.element.dataset.guideMs = String(Math.round(performance.now() - began));
    });
  }

  // Corrects the mask around these pixels: a click is answered here as soon as the probability map has
  // arrived, a scribble by the server.
  guide(pixels, value) {
    const { draft } = this;
    if (!pixels.length) return;
    const began = performance.now();
    const [y, x] = pixels[0];
    const at = y * draft.width + x;
    if (pixels.length === 1 && value && (draft.mask[at] || this.map?.length === draft.mask.length)) {
      const { width, height, mask } = draft;
      const found = mask[at]
        ? region(mask, width, height, at, new Uint8Array(mask.length))
        : flood(mask, this.map, width, height, x, y, typicalArea(mask, width, height, value));
      begin(draft);
      setPixels(draft, found, mask[at] ? 0 : value);
      return this.guidedDone(began);
    }
    if (draft.asked && performance.now() - draft.asked.at < TIMEOUT_MS) {
      return this.say("The last click has not been answered yet.");
    }
    guides += 1;
    draft.asked = { id: draft.id, n: guides, sent: draft.mask.slice(), at: began };
    const payload = { id: draft.id, n: guides, mask: encode(draft.mask) };
    this.trigger("guide", { ...payload, class: value, pixels });
  }

  dim(seeds) {
    const { draft } = this;
    const text = seeds && seeds.id === draft.id ? JSON.stringify(seeds.seeds) : "";
    if (text === draft.dimText) return;
    draft.dimText = text;
    draft.dim = null;
    if (text) {
      const seen = new Uint8Array(draft.mask.length);
      for (const [y, x] of seeds.seeds) {
        const k = y * draft.width + x;
        if (draft.mask[k]) region(draft.mask, draft.width, draft.height, k, seen);
      }
      draft.dim = seen;
    }
    this.paint();
    this.draw();
  }

  sync(delay) {
    clearTimeout(this.syncing);
    if (!this.data.sync) return;
    this.syncing = setTimeout(() => {
      if (this.drag) return this.sync(delay);
      this.sent = this.draft.id;
      this.setState("draft", { id: this.draft.id, mask: encode(this.draft.mask) });
    }, delay);
  }

  act(action) {
    if (this.waiting || !this.draft) return;
    if (this.drag) this.finish();
    const keeps = action === "accept" || action === "save" || action === "propose";
    const payload = { action, id: this.draft.id, answered: this.answered };
    const mask = keeps ? encode(this.draft.mask) : null;
    if (keeps) payload.mask = mask;
    if (action !== "propose") this.draft.sent = mask;
    this.saving = action === "accept" || action === "save" ? this.draft.mask.slice() : null;
    this.$(".notice").classList.remove("shown"); // it is about the action before
    this.leaving = action !== "save" && action !== "propose";
    // The strokes are dropped here once the server has stored them.
    this.settled = action === "accept" || action === "reject" ? this.draft : null;
    this.waiting = setTimeout(() => {
      this.waiting = this.saving = null;
      this.say("The server has not answered; try again.", true);
      this.show();
    }, TIMEOUT_MS);
    this.trigger("action", payload);
    this.show();
  }

  // Locked between sending a mask and showing the next frame: strokes would be lost.
  get locked() {
    return Boolean(this.waiting) && this.leaving;
  }

  // ---- tools

  choose(tool) {
    preferences.tool = /^\d+$/.test(tool) ? Number(tool) : tool;
    if (preferences.tool === 0) preferences.tool = "erase";
    if (typeof preferences.tool === "number") preferences.brush = preferences.tool;
    this.wish();
    this.show();
  }

  // Class of an added object: that of the last brush.
  brush() {
    const last = preferences.brush || 1;
    return last < this.data.classes.length ? last : 1;
  }

  setSize(size) {
    preferences.size = Math.min(80, Math.max(1, size));
    this.show();
  }

  toggle(what) {
    preferences[what] = !preferences[what];
    if (what === "contour") this.paint();
    this.show();
  }

  step(which) {
    const { draft } = this;
    if (this.drag || this.locked) return;
    const step = draft[which].pop();
    if (!step) return;
    draft[which === "undo" ? "redo" : "undo"].push(step);
    paste(draft.mask, draft.width, which === "undo" ? step.before : step.after, step.rect);
    this.edited(step.rect);
  }

  edited(rect) {
    this.paint(rect);
    this.show();
    this.sync(350);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const { scale, x, y } = this.view();
    return {
      x: (event.clientX - box.left - x) / scale,
      y: (event.clientY - box.top - y) / scale,
    };
  }

  inside({ x, y }) {
    return x >= 0 && y >= 0 && x < this.draft.width && y < this.draft.height;
  }

  down(event) {
    if (!this.draft || this.drag || this.locked) return;
    event.preventDefault();
    this.root.activeElement?.blur?.();
    document.activeElement?.blur?.();
    this.canvas.setPointerCapture(event.pointerId);
    this.press(this.place(event), event);
  }

  // Begins an edit at a place: by the mouse, or by keys with the same tools.
  press(at, event) {
    if (event.button === 1 || event.shiftKey) {
      this.drag = { pan: true, x: event.clientX, y: event.clientY };
      this.canvas.classList.add("pan");
      return;
    }
    if (preferences.hidden) this.toggle("hidden");
    const { draft } = this;
    const erase = preferences.tool !== "guided" && (event.button === 2 || preferences.tool === "erase");
    if (!erase && preferences.tool === "delete") {
      if (this.inside(at)) this.remove(Math.floor(at.y) * draft.width + Math.floor(at.x));
      return;
    }
    if (preferences.tool === "guided") {
      this.drag = { last: at, start: at, guided: event.button === 2 ? 0 : this.brush(), pixels: line(draft, at, at).slice(0, 1) };
      return;
    }
    begin(draft);
    if (!erase && preferences.tool === "add") {
      stroke(draft, at, at, this.data.disc / 2, this.brush());
      if (commit(draft)) this.edited();
      return;
    }
    this.drag = { last: at, value: erase ? 0 : preferences.tool };
    this.stretch([at]);
  }

  remove(k) {
    const { draft } = this;
    if (!draft.mask[k]) return this.say("There is no object here.");
    begin(draft);
    const seen = new Uint8Array(draft.mask.length);
    setPixels(draft, region(draft.mask, draft.width, draft.height, k, seen), 0);
    if (commit(draft)) this.edited();
  }

  // Extends the stroke through these points; it is drawn with the next screen refresh.
  stretch(points) {
    if (this.drag.guided !== undefined) {
      for (const at of points) {
        this.drag.pixels.push(...line(this.draft, this.drag.last, at));
        this.drag.last = at;
      }
      return this.drawSoon();
    }
    const rect = wide(this.draft);
    for (const at of points) {
      const part = stroke(this.draft, this.drag.last, at, preferences.size / 2, this.drag.value);
      if (part) grow(rect, part.x0, part.y0, part.x1, part.y1);
      this.drag.last = at;
    }
    if (rect.x1 > rect.x0) this.paint(rect);
    this.drawSoon();
  }

  move(event) {
    if (!this.draft) return;
    this.pointer = this.place(event);
    if (!this.drag) return this.drawSoon();
    if (this.drag.pan) {
      const view = this.view();
      view.x += event.clientX - this.drag.x;
      view.y += event.clientY - this.drag.y;
      Object.assign(this.drag, { x: event.clientX, y: event.clientY });
      return this.drawSoon();
    }
    const steps = event.getCoalescedEvents?.() ?? [];
    this.stretch((steps.length ? steps : [event]).map((step) => this.place(step)));
  }

  up() {
    if (this.drag) this.finish();
  }

  finish() {
    const { drag } = this;
    this.drag = null;
    this.canvas.classList.remove("pan");
    if (drag.guided !== undefined) {
      // A hand that shakes by a pixel or two still clicks.
      const clicked = Math.hypot(drag.last.x - drag.start.x, drag.last.y - drag.start.y) < 2.5;
      const pixels = clicked ? drag.pixels.slice(0, 1) : drag.pixels;
      const unique = [...new Map(pixels.map((p) => [p.join(), p])).values()];
      this.draw();
      return this.guide(unique, drag.guided);
    }
    if (!drag.pan && commit(this.draft)) this.edited(this.draft.undo.at(-1).rect);
  }

  wheel(event) {
    if (!this.draft) return;
    event.preventDefault();
    const at = this.place(event);
    this.zoomBy(Math.exp(-event.deltaY / 600), at);
  }

  key(event) {
    if (!this.alive() || !this.draft || event.altKey) return;
    const target = event.composedPath()[0];
    const typing =
      target instanceof Element &&
      (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
        (target.tagName === "INPUT" && !/^(range|checkbox|radio|button)$/.test(target.type)));
    // Enter leaves the name field, so that the next key is a command.
    if (typing && event.key === "Enter" && target.type === "text") setTimeout(() => target.blur());
    // A focused slider keeps its arrow keys, a focused button its Enter.
    const focused = target instanceof Element && target !== document.body && target !== this.canvas;
    const own = focused && this.root.contains(target) && target.tagName === "BUTTON";
    if (focused && (own ? event.key === "Enter" : /^(Arrow.*|Enter)$/.test(event.key))) return;
    if (typing || document.querySelector('[role="dialog"], [data-baseweb="popover"]')) return;
    const key = event.key.toLowerCase();
    const held = event.ctrlKey || event.metaKey;
    const acts = this.keys(key, held, event.shiftKey);
    if (!acts) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat || /^([[\]zyjk+=-]|arrow.*)$/.test(key)) acts();
  }

  keys(key, held, shift) {
    if (key === "z") return () => this.step(shift ? "redo" : "undo");
    if (key === "y") return () => this.step("redo");
    if (held) return null;
    if (/^\d$/.test(key) && Number(key) < this.data.classes.length) return () => this.choose(key);
    const bySize = Math.max(1, Math.round(preferences.size / 8));
    return {
      w: () => this.choose("guided"),
      e: () => this.choose("erase"),
      d: () => this.choose("delete"),
      o: () => this.choose("add"),
      "[": () => this.setSize(preferences.size - bySize),
      "]": () => this.setSize(preferences.size + bySize),
      h: () => this.toggle("hidden"),
      " ": () => this.toggle("hidden"),
      c: () => this.toggle("contour"),
      f: () => this.fit(),
      a: () => this.act("accept"),
      s: () => this.act("save"),
      r: () => this.act("reject"),
      t: () => this.act("propose"),
      arrowleft: () => this.moveBy(-1, 0, shift),
      arrowright: () => this.moveBy(1, 0, shift),
      arrowup: () => this.moveBy(0, -1, shift),
      arrowdown: () => this.moveBy(0, 1, shift),
      enter: () => this.clickHere(shift),
      q: () => this.pen(),
      j: () => this.toObject(1),
      k: () => this.toObject(-1),
      "+": () => this.zoomBy(1.25),
      "=": () => this.zoomBy(1.25),
      "-": () => this.zoomBy(0.8),
      n: () => this.act("next"),
      p: () => this.act("previous"),
    }[key];
  }

  // ---- the pointer, moved by keys

  // Place of the pointer, in the middle of the view before it was moved.
  here() {
    if (!this.pointer) {
      const box = this.canvas.getBoundingClientRect();
      const { scale, x, y } = this.view();
      this.pointer = { x: (box.width / 2 - x) / scale, y: (box.height / 2 - y) / scale };
    }
    return this.pointer;
  }

  moveBy(dx, dy, far) {
    const { x, y } = this.here();
    const step = far ? 10 : 1;
    this.moveTo(x + step * dx, y + step * dy);
  }

  moveTo(x, y) {
    const { width, height } = this.draft;
    // Pixel centres, so that a key moves by exactly one pixel.
    x = Math.min(width, Math.max(1, Math.floor(x) + 1)) - 0.5;
    y = Math.min(height, Math.max(1, Math.floor(y) + 1)) - 0.5;
    this.pointer = { x, y };
    if (this.drag && !this.drag.pan) this.stretch([this.pointer]);
    const view = this.view();
    const box = this.canvas.getBoundingClientRect();
    const margin = 20;
    const sx = view.x + x * view.scale;
    const sy = view.y + y * view.scale;
    view.x += Math.max(0, margin - sx) - Math.max(0, sx - box.width + margin);
    view.y += Math.max(0, margin - sy) - Math.max(0, sy - box.height + margin);
    this.drawSoon();
  }

  clickHere(right) {
    if (this.drag || this.locked) return;
    this.press(this.here(), { button: right ? 2 : 0 });
    if (this.drag) this.finish();
  }

  // Puts the pen down, so that arrow keys draw a stroke, or lifts it.
  pen() {
    if (this.drag) return this.finish();
    if (!this.locked) this.press(this.here(), { button: 0 });
  }

  toObject(step) {
    const { draft } = this;
    const { width, height } = draft;
    const seen = new Uint8Array(draft.mask.length);
    const centres = [];
    for (let k = 0; k < draft.mask.length; k++) {
      if (!draft.mask[k] || seen[k]) continue;
      const pixels = region(draft.mask, width, height, k, seen);
      centres.push(pixels.sort((a, b) => a - b)[pixels.length >> 1]);
    }
    if (!centres.length) return this.say("The mask has no object.");
    const here = Math.floor(this.here().y) * width + Math.floor(this.here().x);
    centres.sort((a, b) => a - b);
    const next = step > 0 ? centres.find((k) => k > here) : centres.findLast((k) => k < here);
    const at = next ?? (step > 0 ? centres[0] : centres.at(-1));
    this.moveTo(at % width, Math.floor(at / width));
  }

  zoomBy(factor, at = this.here()) {
    const view = this.view();
    const scale = Math.min(48, Math.max(this.whole().scale / 2, view.scale * factor));
    view.x += at.x * (view.scale - scale);
    view.y += at.y * (view.scale - scale);
    view.scale = scale;
    this.drawSoon();
  }

  // ---- drawing

  whole() {
    const { width, height } = this.draft;
    const box = this.canvas.getBoundingClientRect();
    const scale = Math.min(box.width / width, box.height / height) || 1;
    return { scale, x: (box.width - width * scale) / 2, y: (box.height - height * scale) / 2 };
  }

  // Frames of one size share a view, so that a zoomed region stays in place.
  view() {
    const of = `${this.draft.width}×${this.draft.height}`;
    if (!preferences.view || preferences.view.of !== of) preferences.view = { of, fitted: true, ...this.whole() };
    return preferences.view;
  }

  fit() {
    preferences.view = null;
    this.draw();
  }

  resize() {
    if (!this.draft) return;
    const stage = this.$(".stage");
    const width = stage.clientWidth;
    if (!width) return;
    const { draft } = this;
    const most = Math.max(320, window.innerHeight - 330);
    const height = Math.round(Math.min((width * draft.height) / draft.width, most));
    const ratio = window.devicePixelRatio || 1;
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      const fitted = !preferences.view || this.isWhole;
      this.canvas.style.height = `${height}px`;
      [this.canvas.width, this.canvas.height] = size;
      if (fitted) preferences.view = null;
    }
    this.draw();
  }

  // Colours the mask into the layer, in a rectangle or entirely.
  paint(rect) {
    const { draft } = this;
    const { width, height } = draft;
    if (this.layer.width !== width || this.layer.height !== height) {
      this.layer.width = width;
      this.layer.height = height;
      rect = null;
    }
    const all = { x0: 0, y0: 0, x1: width, y1: height };
    let { x0, y0, x1, y1 } = rect ?? all;
    [x0, y0] = [Math.max(0, x0 - 1), Math.max(0, y0 - 1)];
    [x1, y1] = [Math.min(width, x1 + 1), Math.min(height, y1 + 1)];
    if (x1 <= x0 || y1 <= y0) return;
    const image = new ImageData(x1 - x0, y1 - y0);
    const pixels = new Uint32Array(image.data.buffer);
    const paints = this.data.colours.map(
      ([r, g, b], k) => (k ? ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0 : 0),
    );
    const dimmed = ((110 << 24) | (150 << 16) | (150 << 8) | 150) >>> 0;
    const { mask, dim } = draft;
    for (let y = y0, k = 0; y < y1; y++) {
      for (let x = x0, at = y * width + x0; x < x1; x++, at++, k++) {
        const value = mask[at];
        if (!value) continue;
        if (
          preferences.contour && x > 0 && y > 0 && x < width - 1 && y < height - 1 &&
          mask[at - 1] === value && mask[at + 1] === value &&
          mask[at - width] === value && mask[at + width] === value
        ) continue;
        pixels[k] = dim && dim[at] ? dimmed : paints[value];
      }
    }
    this.layer.getContext("2d").putImageData(image, x0, y0);
  }

  // Draws at most once per screen refresh, however fast the pointer moves.
  drawSoon() {
    this.drawing ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.drawing);
    this.drawing = undefined;
    const { context, draft } = this;
    if (!draft || !this.canvas.width) return;
    const ratio = window.devicePixelRatio || 1;
    const view = this.view();
    const whole = this.whole();
    this.isWhole = Math.abs(view.scale / whole.scale - 1) < 1e-6;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#16181c";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
    context.imageSmoothingEnabled = view.scale < 3;
    if (this.frame.width === draft.width && this.frame.height === draft.height) {
      context.drawImage(this.frame, 0, 0);
    }
    if (!preferences.hidden) {
      context.globalAlpha = preferences.contour ? Math.max(0.35, preferences.opacity / 100) : preferences.opacity / 100;
      context.drawImage(this.layer, 0, 0);
      context.globalAlpha = 1;
    }
    if (this.drag?.pixels) this.drawScribble();
    if (this.pointer && !this.drag?.pan) this.drawPointer(view.scale);
    this.$(".zoom").textContent = `${Math.round(100 * view.scale)} %`;
    Object.assign(this.canvas.dataset, { scale: view.scale, x: view.x, y: view.y });
  }

  drawScribble() {
    const { context, drag } = this;
    context.fillStyle = drag.guided ? `rgb(${this.data.colours[drag.guided].join()})` : "#fff";
    for (const [y, x] of drag.pixels) context.fillRect(x, y, 1, 1);
  }

  drawPointer(scale) {
    const { context, pointer } = this;
    const tool = preferences.tool;
    const size = tool === "add" ? this.data.disc : tool === "delete" || tool === "guided" ? 0 : preferences.size;
    const colour = typeof tool === "number" ? this.data.colours[tool] : [255, 255, 255];
    const radius = Math.max(size / 2, 0.5);
    const cross = 5 / scale;
    for (const [style, line] of [["rgba(0,0,0,.65)", 3], [`rgb(${(colour ?? [255, 255, 255]).join()})`, 1.4]]) {
      context.beginPath();
      context.lineWidth = line / scale;
      context.strokeStyle = style;
      if (size) context.arc(pointer.x, pointer.y, radius, 0, 7);
      if (!size || radius * scale < 4) {
        context.moveTo(pointer.x - cross, pointer.y - cross);
        context.lineTo(pointer.x + cross, pointer.y + cross);
        context.moveTo(pointer.x + cross, pointer.y - cross);
        context.lineTo(pointer.x - cross, pointer.y + cross);
      }
      context.stroke();
    }
  }

  // Updates the buttons and texts around the image.
  show() {
    const { draft, data } = this;
    if (!draft) return;
    const changed = draft.undo.length + draft.redo.length > 0; // undoing a saved edit is one, too
    // A mask on its way to the server is judged as saved.
    const edited = changed && !same(draft.mask, this.saving ?? draft.start);
    if (typeof preferences.tool === "number" && preferences.tool >= data.classes.length) preferences.tool = 1;
    for (const button of this.root.querySelectorAll("[data-tool]")) {
      const mine = button.dataset.tool === String(preferences.tool);
      button.setAttribute("aria-pressed", String(mine));
    }
    this.$(".size").value = preferences.size;
    this.$(".size-value").textContent = `${preferences.size} px`;
    this.$(".opacity").value = preferences.opacity;
    this.$(".opacity-value").textContent = `${preferences.opacity} %`;
    this.$(".contour").setAttribute("aria-pressed", String(preferences.contour));
    this.$(".hide").setAttribute("aria-pressed", String(preferences.hidden));
    this.$(".undo").disabled = !draft.undo.length;
    this.$(".redo").disabled = !draft.redo.length;
    this.$(".name").textContent = data.name;
    this.$(".state").textContent = edited ? "edited, not saved" : this.saving ? "being saved" : data.state;
    this.$(".state").classList.toggle("edited", edited);
    this.$(".primary").textContent = edited ? "Accept corrected" : "Accept";
    for (const button of this.root.querySelectorAll("[data-action]")) {
      button.disabled = Boolean(this.waiting);
    }
    this.element.dataset.edited = String(edited);
    this.element.dataset.steps = String(this.steps);
    this.element.dataset.frame = draft.id;
    this.draw();
  }

  say(text, bad = false) {
    const notice = this.$(".notice");
    notice.textContent = text;
    notice.classList.add("shown");
    notice.classList.toggle("bad", bad);
    clearTimeout(this.saying);
    this.saying = setTimeout(() => notice.classList.remove("shown"), bad ? 8000 : 2500);
  }
}
