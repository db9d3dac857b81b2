// The network of this folder, run on what the visitor shows.
import * as ort from './runtime/ort.wasm.bundle.min.mjs';
import { findFaces, prepare, windowAbout } from './faces.js';

const element = (id) => document.getElementById(id);
const model = JSON.parse(element('model').textContent);
const CLIP = 16; // latest frames that a network of clips is given
const SHOWN = 1280; // pixels of the longer side of the canvas
const SPOKEN = 2000; // milliseconds between two answers to a screen reader

let session, detector;
const softmax = (logits) => {
  const most = Math.max(...logits), shares = Array.from(logits, (value) => Math.exp(value - most));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / sum);
};
export async function ask(faces) { // outputs for (N, C, S, S) bytes: name -> {data, dims}
  const side = model.faceSize, bytes = new Uint8Array(faces.length * faces[0].length);
  faces.forEach((face, n) => bytes.set(face, n * face.length));
  const input = new ort.Tensor('uint8', bytes, [faces.length, model.channels, side, side]);
  return session.run({ [session.inputNames[0]]: input });
}

// What is shown: an image, the camera or a clip.

const frame = document.createElement('canvas'), pixels = frame.getContext('2d', { willReadFrequently: true, alpha: false });
const video = document.createElement('video');
Object.assign(video, { muted: true, playsInline: true, loop: true });
let still = null, box = null, results = [], chosen = 0, clip = [], busy = false, again = false, turn = 0, spoken = 0;
const where = () => document.querySelector('input[name=where]:checked').value;
const complain = (message) => { element('problem').textContent = message; };

function centreSquare() {
  const side = Math.round(Math.min(frame.width, frame.height) * 0.8);
  const [x, y] = [Math.round((frame.width - side) / 2), Math.round((frame.height - side) / 2)];
  return [x, y, x + side, y + side];
}
function grab() { // the source's pixels; false before there are any
  const source = still ?? video, width = still ? still.width : video.videoWidth, height = still ? still.height : video.videoHeight;
  if (!width || (!still && video.readyState < 2)) return false;
  if (frame.width !== width || frame.height !== height || !box) {
    [frame.width, frame.height] = [width, height];
    box = centreSquare();
  }
  pixels.drawImage(source, 0, 0);
  return true;
}
async function places() { // [tight box, window] of each face
  const whole = [0, 0, frame.width, frame.height];
  if (where() === 'whole') return [[whole, whole]];
  let boxes = where() === 'box' ? [box] : await findFaces(ort, detector, frame);
  boxes = boxes.filter(([a, b, c, d]) => Math.min(c - a, d - b) >= model.smallest);
  const area = ([a, b, c, d]) => (c - a) * (d - b);
  if (model.which === 'largest') boxes = boxes.sort((a, b) => area(b) - area(a)).slice(0, 1);
  boxes.sort((a, b) => a[0] - b[0]); // from left to right, so that a face of a camera keeps its number
  return boxes.map((one) => [one, windowAbout(model.crop, one, frame.width, frame.height)])
    .filter(([, [left, top, right, bottom]]) => left < right && top < bottom);
}
async function analyse() {
  if (!session || !grab()) return;
  const found = [], start = performance.now();
  for (const [tight, [left, top, right, bottom]] of await places()) {
    const began = performance.now();
    const rgba = pixels.getImageData(left, top, right - left, bottom - top).data;
    const bytes = prepare(rgba, right - left, bottom - top, model.faceSize, model.channels);
    clip = model.shows === 'frames' && !still ? [...clip, bytes].slice(-CLIP) : [bytes];
    const out = await ask(clip);
    if (!Array.from(out.logits.data).every(Number.isFinite)) throw new Error('The answer of the network is not a finite number.');
    found.push({ tight, window: [left, top, right, bottom], bytes, out, shares: softmax(out.logits.data), lasted: performance.now() - began });
  }
  results = found;
  chosen = Math.min(chosen, Math.max(0, results.length - 1));
  show(performance.now() - start);
}
async function look() { // one analysis at a time; what changed meanwhile is looked at afterwards
  again = true;
  if (busy) return;
  busy = true;
  while (again) {
    again = false;
    try { await analyse(); } catch (error) { complain(error.message); }
  }
  busy = false;
}
const wait = (time) => new Promise((done) => { setTimeout(done, time); });
async function watch() { // until another source is opened
  const mine = ++turn;
  while (mine === turn) {
    const start = performance.now();
    if (!document.hidden && !video.paused) await look();
    if (!video.paused && Number.isFinite(video.duration)) element('time').value = video.currentTime / video.duration;
    await wait(Math.min(1000, Math.max(16, (performance.now() - start) / 2))); // leaves time for the visitor's keys
  }
}
function close() {
  turn++;
  video.srcObject?.getTracks().forEach((track) => track.stop());
  if (video.src) URL.revokeObjectURL(video.src);
  video.srcObject = null;
  video.removeAttribute('src');
  [still, box, clip, results, chosen, spoken] = [null, null, [], [], 0, 0];
  complain('');
  element('camera').textContent = 'Start the camera';
  for (const id of ['stage', 'answer', 'pause', 'position']) element(id).hidden = true;
}
async function openVideo(fill, failure) {
  const ready = new Promise((good, bad) => {
    video.onloadeddata = good;
    video.onerror = () => bad(new Error(failure));
  });
  fill();
  await ready;
  await video.play();
  element('stage').hidden = element('pause').hidden = false;
  element('pause').textContent = 'Pause';
  element('position').hidden = !Number.isFinite(video.duration);
  watch();
}
async function openFile(file) {
  close();
  const failure = `${file.name}: this browser cannot read it as an image or a clip.`;
  try {
    if (file.type.startsWith('video/')) {
      await openVideo(() => { video.src = URL.createObjectURL(file); }, failure);
      return;
    }
    still = await createImageBitmap(file, { colorSpaceConversion: 'none' }).catch(() => { throw new Error(failure); });
    element('stage').hidden = false;
    await look();
  } catch (error) { complain(error.message); }
}
const REFUSED = {
  NotAllowedError: 'The camera was not allowed. Allow it in the browser for this page, or choose an image or a clip.',
  NotFoundError: 'No camera was found. Choose an image or a clip.',
  NotReadableError: 'Another program uses the camera. Close it there, or choose an image or a clip.',
};
async function toggleCamera() {
  const on = Boolean(video.srcObject);
  close();
  if (on) return;
  if (!navigator.mediaDevices?.getUserMedia) {
    complain('Browsers give cameras only to pages from localhost or by https. Choose an image or a clip.');
    return;
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, facingMode: 'user' } });
    element('camera').textContent = 'Stop the camera';
    await openVideo(() => { video.srcObject = stream; }, 'The camera gives no image.');
  } catch (error) { complain(REFUSED[error.name] ?? `The camera cannot be used: ${error.message}`); }
}

// Showing: boxes, bars, and what the network weighs.

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const best = (shares) => shares.indexOf(Math.max(...shares));
function drawView() {
  const view = element('view'), factor = Math.min(1, SHOWN / Math.max(frame.width, frame.height));
  [view.width, view.height] = [Math.round(frame.width * factor), Math.round(frame.height * factor)];
  view.classList.toggle('drawn', where() === 'box');
  element('keys').hidden = where() !== 'box';
  const pen = view.getContext('2d'), unit = Math.max(1, view.width / 400);
  pen.drawImage(frame, 0, 0, view.width, view.height);
  const outline = (sides, dash, width, ink) => {
    const [a, b, c, d] = sides.map((side) => side * factor);
    for (const [colour, wide] of [['#000', width + unit], [ink, width]]) {
      pen.setLineDash(dash);
      [pen.strokeStyle, pen.lineWidth] = [colour, wide];
      pen.strokeRect(a, b, c - a, d - b);
    }
  };
  results.forEach((face, n) => {
    if (where() !== 'whole') outline(face.window, [6 * unit, 4 * unit], unit, '#fff');
    outline(face.tight, [], n === chosen ? 2 * unit : unit, '#ffd23f');
    if (results.length < 2) return;
    pen.font = `600 ${14 * unit}px sans-serif`;
    pen.setLineDash([]);
    [pen.strokeStyle, pen.fillStyle, pen.lineWidth] = ['#000', '#ffd23f', 3 * unit];
    const at = [face.tight[0] * factor + 3 * unit, face.tight[1] * factor + 15 * unit];
    pen.strokeText(n + 1, ...at);
    pen.fillText(n + 1, ...at);
  });
}
function fill(table, names, shares) { // rows of name, bar and number
  const body = table.tBodies[0];
  if (body.rows.length !== names.length) {
    body.replaceChildren();
    for (const name of names) {
      const row = body.insertRow(), head = document.createElement('th'), bar = document.createElement('div');
      head.scope = 'row';
      head.textContent = name;
      bar.className = 'bar';
      bar.append(document.createElement('span'));
      row.append(head);
      row.insertCell().append(bar);
      row.insertCell();
    }
  }
  shares.forEach((share, n) => {
    body.rows[n].className = n === best(shares) ? 'top' : '';
    body.rows[n].querySelector('span').style.width = `${100 * share}%`;
    body.rows[n].cells[2].textContent = percent(share);
  });
}
function paint(canvas, face) { // the bytes that the network got
  const side = model.faceSize, area = side * side, image = new ImageData(side, side);
  [canvas.width, canvas.height] = [side, side];
  for (let at = 0; at < area; at++) {
    for (let c = 0; c < 3; c++) image.data[4 * at + c] = face.bytes[(model.channels === 1 ? 0 : c * area) + at];
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}
function enlarged(canvas, face) { // 240 pixels or more a side, to draw on
  const copy = document.createElement('canvas'), side = Math.max(240, model.faceSize);
  paint(copy, face);
  [canvas.width, canvas.height] = [side, side];
  const pen = canvas.getContext('2d');
  pen.drawImage(copy, 0, 0, side, side);
  return [pen, side];
}
function drawMap(face) { // from blue, 0, to yellow, 1
  const { data, dims } = face.out[element('map').value], [, height, width] = dims;
  const map = document.createElement('canvas'), image = new ImageData(width, height);
  [map.width, map.height] = [width, height];
  data.forEach((value, n) => image.data.set([255 * value, 40 + 190 * value, 160 * (1 - value), 90 + 110 * value], 4 * n));
  map.getContext('2d').putImageData(image, 0, 0);
  const [pen, side] = enlarged(element('why'), face);
  pen.drawImage(map, 0, 0, side, side);
  element('why-text').textContent = `Here ${width} x ${height} numbers from ${Math.min(...data).toFixed(2)} to ${Math.max(...data).toFixed(2)}; colours run from blue, 0, to yellow, 1.`;
}
function drawRegions(face) {
  const shares = Array.from(face.out.region_weights.data), names = model.regions.map(([name]) => name);
  const [pen, side] = enlarged(element('why'), face);
  const heaviestLast = shares.map((_, n) => n).sort((one, other) => shares[one] - shares[other]);
  for (const n of heaviestLast) {
    const [a, b, c, d] = model.regions[n][1];
    pen.strokeStyle = n === best(shares) ? '#ffd23f' : '#7cbcf2';
    pen.lineWidth = Math.max(1, 18 * shares[n]);
    pen.strokeRect(a * side + 2, b * side + 2, (c - a) * side - 4, (d - b) * side - 4);
  }
  element('why-text').textContent = 'Lines are as wide as the share of their region; yellow is the largest.';
  element('weights').hidden = false;
  fill(element('weights'), names, shares);
}
function drawFrames(face) {
  const shares = Array.from(face.out.frame_weights.data), why = element('why'), side = 60;
  [why.width, why.height] = [4 * side, Math.ceil(clip.length / 4) * side];
  const pen = why.getContext('2d'), copy = document.createElement('canvas');
  clip.forEach((bytes, n) => {
    const [x, y] = [(n % 4) * side, Math.floor(n / 4) * side];
    paint(copy, { bytes });
    pen.drawImage(copy, x, y, side, side);
    pen.fillStyle = '#ffd23f';
    pen.fillRect(x, y + side - 6, side * shares[n] / Math.max(...shares), 6);
  });
  element('why-text').textContent = `The latest ${clip.length === 1 ? 'face' : `${clip.length} faces`}; the bar of the heaviest, ${percent(Math.max(...shares))}, is full.`;
}
function show(lasted) {
  drawView();
  element('answer').hidden = false;
  const face = results[chosen], buttons = element('choose'), count = results.length;
  if (buttons.children.length !== (count > 1 ? count : 0)) {
    buttons.replaceChildren(...(count > 1 ? results : []).map((_, n) => {
      const button = Object.assign(document.createElement('button'), { type: 'button', textContent: `Face ${n + 1}` });
      button.onclick = () => { chosen = n; spoken = 0; show(lasted); };
      return button;
    }));
  }
  [...buttons.children].forEach((button, n) => button.setAttribute('aria-pressed', n === chosen));
  for (const id of ['bars', 'seen', 'lasted', 'input-text']) element(id).hidden = !face;
  for (const id of ['why', 'weights', 'maps']) element(id).hidden = true;
  element('why-text').textContent = '';
  const text = face ? `${count > 1 ? `Face ${chosen + 1} of ${count}: ` : ''}${model.classes[best(face.shares)]}, ${percent(face.shares[best(face.shares)])}` : 'No face was found. Draw a box instead, or take the whole image.';
  element('said').textContent = text;
  if (performance.now() - spoken > SPOKEN || !spoken) {
    element('spoken').textContent = text;
    spoken = performance.now();
  }
  if (!face) return;
  fill(element('bars'), model.classes, face.shares);
  element('lasted').textContent = `${face.lasted.toFixed(1)} ms for this face, ${lasted.toFixed(0)} ms for the image.`;
  element('input-text').textContent = `The face as the network gets it: ${model.faceSize} x ${model.faceSize} pixels, ${model.channels === 1 ? 'grey' : 'colour'}.`;
  paint(element('seen'), face);
  const weighs = { maps: model.maps.length, regions: face.out.region_weights, frames: face.out.frame_weights };
  element('maps').hidden = !(model.maps.length > 1);
  element('why').hidden = !Object.values(weighs).some(Boolean);
  if (weighs.maps) drawMap(face);
  if (weighs.regions) drawRegions(face);
  if (weighs.frames) drawFrames(face);
}
export const latest = () => results, idle = () => !busy; // for tests

// Controls.

const refresh = () => { spoken = 0; look(); };
element('file').onchange = (event) => { if (event.target.files[0]) openFile(event.target.files[0]); event.target.value = ''; };
element('camera').onclick = toggleCamera;
element('pause').onclick = (event) => {
  if (video.paused) video.play(); else video.pause();
  event.target.textContent = video.paused ? 'Play' : 'Pause';
};
element('time').oninput = (event) => { video.currentTime = event.target.value * video.duration; };
video.onseeked = () => { if (video.paused) refresh(); };
element('map').replaceChildren(...model.maps.map((name) => new Option(name.replace(/(\d+)$/, ' of stage $1'), name)));
element('map').onchange = () => { if (results[chosen]) drawMap(results[chosen]); };
document.querySelectorAll('input[name=where]').forEach((radio) => { radio.onchange = () => { clip = []; refresh(); }; });
for (const kind of ['dragover', 'dragleave', 'drop']) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle('over', kind === 'dragover');
    if (kind === 'drop' && event.dataTransfer.files[0]) openFile(event.dataTransfer.files[0]);
  });
}
const view = element('view');
let corner = null;
function setBox([left, top, right, bottom]) { // whole pixels inside the image, in order, of a face's least size
  const side = model.smallest, { width, height } = frame;
  const a = Math.min(Math.max(Math.min(left, right), 0), width - side), b = Math.min(Math.max(Math.min(top, bottom), 0), height - side);
  const c = Math.max(Math.min(Math.max(left, right), width), a + side), d = Math.max(Math.min(Math.max(top, bottom), height), b + side);
  box = [a, b, c, d].map(Math.round);
  refresh();
}
const pointed = (event) => {
  const sides = view.getBoundingClientRect();
  return [(event.clientX - sides.left) * frame.width / sides.width, (event.clientY - sides.top) * frame.height / sides.height];
};
view.onpointerdown = (event) => {
  if (where() !== 'box') return;
  corner = pointed(event);
  view.setPointerCapture(event.pointerId);
};
view.onpointermove = (event) => {
  const at = corner && pointed(event);
  if (at && Math.max(Math.abs(at[0] - corner[0]), Math.abs(at[1] - corner[1])) >= model.smallest) setBox([...corner, ...at]);
};
view.onpointerup = view.onpointercancel = () => { corner = null; };
view.onkeydown = (event) => {
  if (where() !== 'box' || !box || event.ctrlKey || event.altKey || event.metaKey) return;
  const step = Math.max(1, Math.round(Math.min(frame.width, frame.height) / 50)), [left, top, right, bottom] = box;
  const [x, y] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [0, 0];
  const grow = { '+': step, '=': step, '-': -step, _: -step }[event.key] ?? 0;
  if (event.key === 'Home') setBox(centreSquare());
  else if (grow) { if (Math.min(right - left, bottom - top) + 2 * grow >= model.smallest) setBox([left - grow, top - grow, right + grow, bottom + grow]); }
  else if (x || y) {
    const keep = (by, low, high, most) => Math.min(Math.max(by, -low), most - high); // the box moves as a whole
    const moved = [keep(x, left, right, frame.width), keep(y, top, bottom, frame.height)];
    setBox(event.shiftKey ? [left, top, Math.max(right + x, left + model.smallest), Math.max(bottom + y, top + model.smallest)]
      : [left + moved[0], top + moved[1], right + moved[0], bottom + moved[1]]);
  } else return;
  event.preventDefault();
};

ort.env.wasm.numThreads = 1; // more need headers that plain servers do not send
ort.env.wasm.wasmPaths = { wasm: new URL('runtime/ort-wasm-simd-threaded.wasm', import.meta.url).href };
try {
  const open = (file) => ort.InferenceSession.create(new URL(file, import.meta.url).href, { logSeverityLevel: 3 });
  detector = model.detector ? await open('detector.onnx') : null;
  session = await open('model.onnx');
  await ask([new Uint8Array(model.channels * model.faceSize ** 2)]); // the first call is slow
  element('state').textContent = 'Ready.';
  look();
} catch (error) {
  element('state').textContent = '';
  complain(`The network cannot be loaded: ${error.message}`);
}
