// What a cashier hears without looking up: a short note each for added, unknown, paid and refused. Made on the spot, so
// that there is nothing to load.

const NOTES = {
  added: [[1320, 0.05]],
  undo: [[660, 0.06]],
  ask: [[520, 0.09]],
  unknown: [[300, 0.12], [240, 0.2]],
  error: [[200, 0.18], [160, 0.28]],
  paid: [[880, 0.07], [1175, 0.12]],
};
let audio = null;

/** Play what happened. Silent where the browser has no sound, or nobody has touched the page yet. */
export function play(what) {
  try {
    audio ??= new AudioContext();
    if (audio.state === "suspended") void audio.resume();
    let at = audio.currentTime;
    for (const [pitch, length] of NOTES[what]) {
      const tone = audio.createOscillator();
      const level = audio.createGain();
      tone.type = what === "unknown" || what === "error" ? "square" : "sine";
      tone.frequency.value = pitch;
      level.gain.setValueAtTime(0.08, at);
      level.gain.exponentialRampToValueAtTime(0.0001, at + length);
      tone.connect(level).connect(audio.destination);
      tone.start(at);
      tone.stop(at + length);
      at += length;
    }
  } catch {
    // no sound here; what happened is on the screen as well
  }
}
