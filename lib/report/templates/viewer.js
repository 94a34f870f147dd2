// The token viewer: reads the JSON block "viewer-data" and fills the elements of viewer.html.
// Traces are a model's output: they are only ever set as text.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const root = document.getElementById("viewer");
  const field = (name) => root.querySelector(`select[name="${name}"]`);
  const slider = root.querySelector("input[name=step]");
  const part = (name) => root.querySelector(`.${name}`);
  const VALUES = { reward: "reward", advantage: "advantage", logprob: "log-probability", ratio: "log-ratio" };
  const SVG = "http://www.w3.org/2000/svg";
  const label = (name, labels = data.labels) => labels[name] ?? name;

  function element(tag, className, text = "") {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  }

  function drawn(tag, attributes) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  // a value in hundredths as readers see it
  const signed = (value) => ["−", "", "+"][Math.sign(value) + 1] + (Math.abs(value) / 100).toFixed(2);

  // Give a select its options, pairs of value and text; what was chosen stays chosen if it is still there.
  function fill(name, options) {
    const select = field(name);
    const chosen = select.value;
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    if (options.some(([value]) => value === chosen)) select.value = chosen;
    select.disabled = options.length === 0;
  }

  const pairs = (object, labels) => Object.keys(object).map((name) => [name, label(name, labels)]);

  // Of traces that were written in training, those of the step that the slider is at.
  function atStep(traces) {
    const steps = [...new Set(traces.map((trace) => trace.step))];
    slider.max = steps.length - 1;
    const step = steps[Number(slider.value)];
    slider.closest("label").hidden = step === undefined;
    slider.nextElementSibling.textContent = step;
    return traces.filter((trace) => trace.step === step);
  }

  function matching(traces) {
    const answer = field("answer").value;
    return traces.filter((trace) => answer === "all" || trace.right === (answer === "right"));
  }

  // Every select's options follow from the choices before it; then all is drawn.
  function update() {
    const problem = data.problems[Number(field("problem").value || 0)];
    fill("backbone", pairs(problem.traces));
    const methods = problem.traces[field("backbone").value];
    fill("method", pairs(methods));
    const seeds = methods[field("method").value];
    fill("seed", pairs(seeds));
    const [backbone, method, seed] = ["backbone", "method", "seed"].map((name) => field(name).value);
    fill("problem", data.problems.map((other, i) => {
      const count = matching(other.traces[backbone]?.[method]?.[seed] ?? []).length;
      return [String(i), `${i + 1}. ${other.watched ? "In training: " : ""}${other.question} (${count})`];
    }));
    const traces = atStep(seeds[seed]);
    fill("trace", matching(traces).map((trace) => [
      String(trace.sample), `sample ${trace.sample}, ${trace.right ? "right" : "wrong"}`,
    ]));
    const trace = traces.find((one) => String(one.sample) === field("trace").value);
    const any = trace ?? seeds[seed][0]; // so that what is chosen stays chosen where no trace is left
    fill("reward", any ? pairs(any.rewards, data.rewards) : []);
    const judged = field("reward").value !== "";
    fill("value", Object.entries(VALUES).filter(([name]) => judged || name === "logprob"));
    draw(problem, seeds[seed], traces, trace);
  }

  function valuesOf(trace, name) {
    return name === "logprob" ? trace.logprob : trace.rewards[field("reward").value]?.[name];
  }

  function draw(problem, ofAllSteps, traces, trace) {
    const name = field("value").value;
    const all = ofAllSteps.flatMap((one) => valuesOf(one, name) ?? []);
    const limit = Math.max(1, ...all.map(Math.abs)); // of the problem's traces, so that they compare
    part("question").textContent = problem.question;
    part("low").textContent = signed(-limit);
    part("high").textContent = signed(limit);
    const reward = field("reward").value;
    part("about").textContent = `${VALUES[name]} of each token`
      + (reward && name !== "logprob" ? `, by the reward “${label(reward, data.rewards)}”` : "")
      + (reward || !trace ? "" : "; no reward was asked about this policy's samples")
      + (traces[0]?.step === undefined ? "" : `; all as it was after ${traces[0].step} steps of training`);
    const expert = traces.find((one) => one.expert);
    const title = trace && `${label(field("method").value)}, sample ${trace.sample}: `
      + `${trace.right ? "right" : "wrong"} answer`
      + (reward ? `, reward ${signed(100 * trace.rewards[reward].score)}` : "");
    if (trace) panel(part("policy"), title, trace, name, limit);
    else plain(part("policy"), label(field("method").value), "",
      "Among the traces kept of this problem is no such one.");
    if (expert) panel(part("expert"), "expert, as this policy wrote it too", expert, name, limit);
    else plain(part("expert"), "expert", problem.expert,
      "This policy did not write the expert's trace, so no values of its tokens were recorded.");
  }

  function plain(panelElement, title, text, note) {
    panelElement.replaceChildren(
      element("h3", "", title), element("pre", "trace", text), element("p", "readout", note));
  }

  function panel(panelElement, title, trace, name, limit) {
    const values = valuesOf(trace, name);
    const text = element("pre", "trace");
    text.tabIndex = 0;
    text.setAttribute("aria-label", "the trace; the arrow keys go from token to token");
    const tokens = trace.tokens.map((index, i) => token(data.tokens[index], values[i], limit));
    text.append(...tokens);
    mark(trace, tokens);
    const readout = element("p", "readout");
    readout.setAttribute("role", "status");
    const { spark, cursor } = sparkline(trace, values, limit);
    let here = -1;

    function go(i) {
      tokens[here]?.classList.remove("here");
      here = Math.min(Math.max(i, 0), tokens.length - 1);
      tokens[here].classList.add("here");
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, here + 0.5);
      cursor.removeAttribute("visibility");
      readout.textContent = described(trace, here);
    }

    for (const kind of ["mouseover", "click"])
      text.addEventListener(kind, (event) => {
        const i = tokens.indexOf(event.target);
        if (i >= 0) go(i);
      });
    text.addEventListener("focus", () => { if (here < 0) go(0); });
    text.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: tokens.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      go(to);
    });
    for (const kind of ["mousemove", "click"])
      spark.addEventListener(kind, (event) => {
        const box = spark.getBoundingClientRect();
        go(Math.floor((tokens.length * (event.clientX - box.left)) / box.width));
      });
    panelElement.replaceChildren(element("h3", "", title), spark, text, readout);
  }

  function token(piece, value, limit) {
    // a line break and the end token have no ink of their own
    const span = element("span", "token", piece === "" ? "end" : piece.replaceAll("\n", "⏎\n"));
    if (piece.trim() === "") span.classList.add("sign");
    const share = 0.75 * Math.min(Math.abs(value) / limit, 1);
    span.style.background = `rgba(${value < 0 ? "213, 94, 0" : "0, 114, 178"}, ${share.toFixed(2)})`;
    return span;
  }

  // Underline the first wrong unit, and label it and the units that detectors name.
  function mark(trace, tokens) {
    if (trace.wrong === null) return;
    const [first, end] = trace.units[trace.wrong];
    for (const span of tokens.slice(first, end)) span.classList.add("wrong");
    const named = Object.entries(trace.named).filter(
      ([name]) => !(name in trace.rewards) || name === field("reward").value);
    const badges = [[trace.wrong, "first wrong step", "badge truth"]];
    for (const [name, unit] of named) {
      const detector = { logprob: "log-probability", entropy: "entropy" }[name] ?? "reward";
      badges.push([unit, detector, unit === trace.wrong ? "badge hit" : "badge"]);
    }
    for (const [unit, text, className] of badges.reverse())
      tokens[(trace.units[unit][1] || tokens.length) - 1].after(element("span", className, text));
  }

  function sparkline(trace, values, limit) {
    const spark = drawn("svg", {
      class: "spark", viewBox: `0 0 ${values.length} 2`, preserveAspectRatio: "none", "aria-hidden": "true",
    });
    if (trace.wrong !== null) {
      const [first, end] = trace.units[trace.wrong];
      spark.append(drawn("rect", { x: first, y: 0, width: end - first, height: 2 }));
    }
    spark.append(drawn("line", { x1: 0, x2: values.length, y1: 1, y2: 1 }));
    const points = values.map((value, i) => `${i + 0.5} ${(1 - (0.9 * value) / limit).toFixed(3)}`);
    spark.append(drawn("path", { d: `M${points.join("L")}` }));
    const cursor = drawn("line", { class: "here", y1: 0, y2: 2, visibility: "hidden" });
    spark.append(cursor);
    return { spark, cursor };
  }

  // All that is known of a token, in words.
  function described(trace, i) {
    const piece = data.tokens[trace.tokens[i]];
    const shown = piece === "" ? "end of the trace" : JSON.stringify(piece);
    const unit = trace.units.findIndex(([first, end]) => first <= i && i < end);
    const where = unit < 0 ? "" : unit === trace.units.length - 1 ? ", answer" : `, step ${unit + 1}`;
    const values = Object.entries(VALUES)
      .map(([name, text]) => [text, valuesOf(trace, name)])
      .filter(([, known]) => known)
      .map(([text, known]) => `${text} ${signed(known[i])}`);
    return `token ${i + 1} of ${trace.tokens.length}${where}: ${shown} · ${values.join(" · ")}`;
  }

  root.querySelector("form").addEventListener("input", update);
  update();
})();
