// Faces as `fer-repro predict` cuts them, to the bit: windows, bilinear scaling and grey as Pillow computes them; and YuNet.

const half = (x) => { // to the nearest whole number, halves to the even one
  const low = Math.floor(x), rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2) ? low + 1 : low;
};
const inside = ([left, top, right, bottom], width, height) =>
  [Math.max(left, 0), Math.max(top, 0), Math.min(right, width), Math.min(bottom, height)];
const POLICIES = {
  square(box, width, height) {
    const [left, top, right, bottom] = box.map(Math.trunc);
    const reach = 1.1 * Math.floor(Math.floor((right - left + bottom - top) / 2) / 2);
    const x = Math.floor((left + right) / 2), y = Math.floor((top + bottom) / 2);
    return inside([x - reach, y - reach, x + reach, y + reach].map(Math.trunc), width, height);
  },
  padded([left, top, right, bottom], width, height) {
    const side = Math.max(right - left, bottom - top), reach = half(side * (2 / 3) * (0.5 + 0.25));
    const x = Math.trunc((left + right) / 2), y = Math.trunc((top + bottom) / 2 + (1 / 16) * side);
    return inside([x - reach, y - reach, x + reach, y + reach], width, height);
  },
  scale([left, top, right, bottom], width, height) {
    const w = (right - left) / (13 / 16), h = (bottom - top) / (17 / 16); // of the cascade's square
    const x = (left + right) / 2, y = (top + bottom) / 2 - (1 / 64) * h + 0.04 * h;
    const wide = inside([x - (1.2 * w) / 2, y - (1.4 * h) / 2, x + (1.2 * w) / 2, y + (1.4 * h) / 2], width, height);
    const [a, b, c, d] = wide.map(Math.trunc), side = Math.min(Math.max(c - a, d - b), 512);
    const from = (low, high) => Math.max(Math.trunc((low + high) / 2) - Math.floor(side / 2), 0);
    const corner = [from(wide[0], wide[2]), from(wide[1], wide[3])];
    return [...corner, Math.min(corner[0] + side, width), Math.min(corner[1] + side, height)];
  },
};
export function windowAbout(crop, box, width, height) { // whole pixels: left, top, right, bottom
  return POLICIES[crop](box.map((side) => Number(side.toPrecision(9))), width, height);
}

function taps(from, to) { // for each of `to` places its first of `from` places, and fixed-point weights
  const scale = from / to, reach = Math.max(scale, 1), rows = [];
  for (let place = 0; place < to; place++) {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5)), last = Math.min(from, Math.trunc(centre + reach + 0.5));
    const raw = [];
    for (let at = first; at < last; at++) raw.push(Math.max(0, 1 - Math.abs((at - centre + 0.5) * (1 / reach))));
    const sum = raw.reduce((a, b) => a + b, 0);
    rows.push([first, raw.map((weight) => Math.trunc((weight / sum) * 4194304 + 0.5))]);
  }
  return rows;
}
function along(values, length, to, lines, step, line, newStep, newLine) { // scale each line; steps are between values
  const out = new Uint8ClampedArray(lines * to * 3), rows = taps(length, to);
  for (let at = 0; at < lines; at++) {
    for (let place = 0; place < to; place++) {
      const [first, weights] = rows[place];
      for (let c = 0; c < 3; c++) {
        let sum = 2097152; // half of a grey level
        for (let k = 0; k < weights.length; k++) sum += weights[k] * values[at * line + (first + k) * step + c];
        out[at * newLine + place * newStep + c] = sum >> 22;
      }
    }
  }
  return out;
}
const across = (values, width, height, side, bytes) => along(values, width, side, height, bytes, bytes * width, 3, 3 * side);
const down = (values, width, height, side, bytes) => along(values, height, side, width, bytes * width, bytes, 3 * width, 3);
export function resize(rgba, width, height, side) { // RGB (side, side, 3); which way is first moves a value by 1
  if (height > Math.max(side, 2 * width - side)) return across(down(rgba, width, height, side, 4), width, side, side, 3);
  return down(across(rgba, width, height, side, 4), side, height, side, 3);
}
export function prepare(rgba, width, height, side, channels) { // what a network gets of a window: (C, S, S) bytes
  const area = side * side, rgb = resize(rgba, width, height, side), out = new Uint8Array(channels * area);
  for (let at = 0; at < area; at++) {
    const from = 3 * at;
    if (channels === 1) out[at] = (rgb[from] * 19595 + rgb[from + 1] * 38470 + rgb[from + 2] * 7471 + 32768) >> 16;
    else for (let c = 0; c < 3; c++) out[c * area + at] = rgb[from + c];
  }
  return out;
}

// YuNet, as predict runs it: the image shrunk to LARGEST pixels, black below and on the right up to a multiple of STEP.

const LARGEST = 640, LEAST = 64, STEP = 32, SCORE = 0.6, OVERLAP = 0.3;
function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(width, 0) * Math.max(height, 0), area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return shared / (area(a) + area(b) - shared);
}
const small = document.createElement('canvas'), smaller = small.getContext('2d', { willReadFrequently: true, alpha: false });
export async function findFaces(ort, detector, frame) { // tight boxes of a canvas, the most confident first
  const factor = Math.min(1, LARGEST / Math.max(frame.width, frame.height));
  const across = Math.max(1, half(frame.width * factor)), down = Math.max(1, half(frame.height * factor));
  const [width, height] = [across, down].map((side) => Math.ceil(Math.max(side, LEAST) / STEP) * STEP);
  small.width = width;
  small.height = height;
  smaller.imageSmoothingQuality = 'high';
  smaller.drawImage(frame, 0, 0, across, down);
  const rgba = smaller.getImageData(0, 0, width, height).data, area = width * height, bgr = new Float32Array(3 * area);
  for (let at = 0; at < area; at++) for (let c = 0; c < 3; c++) bgr[c * area + at] = rgba[4 * at + 2 - c];
  const out = await detector.run({ [detector.inputNames[0]]: new ort.Tensor('float32', bgr, [1, 3, height, width]) });
  const found = [];
  for (const stride of [8, 16, 32]) {
    const [cls, obj, box] = ['cls', 'obj', 'bbox'].map((kind) => out[`${kind}_${stride}`].data), columns = width / stride;
    for (let at = 0; at < cls.length; at++) {
      const score = Math.sqrt(Math.min(Math.max(cls[at], 0), 1) * Math.min(Math.max(obj[at], 0), 1));
      if (!(score >= SCORE)) continue;
      const x = ((at % columns) + box[4 * at]) * stride, y = (Math.floor(at / columns) + box[4 * at + 1]) * stride;
      const [w, h] = [Math.exp(box[4 * at + 2]) * stride / 2, Math.exp(box[4 * at + 3]) * stride / 2];
      found.push({ score, box: [x - w, y - h, x + w, y + h] });
    }
  }
  found.sort((a, b) => b.score - a.score);
  const kept = [];
  for (const { box } of found) if (!kept.some((other) => overlap(box, other) > OVERLAP)) kept.push(box);
  const [sx, sy] = [frame.width / across, frame.height / down];
  return kept.map(([a, b, c, d]) => [a * sx, b * sy, c * sx, d * sy]);
}
