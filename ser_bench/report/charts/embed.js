// Draws the charts of a page. Runs inside the bundle that ser_bench.report.vega makes: vegaEmbed and CONFIGS are there.
const STYLE = `
figure.chart .drawing { width: 100%; }
figure.chart .drawing svg { display: block; max-width: 100%; height: auto; }
#vg-tooltip-element {
  position: fixed; z-index: 1000; visibility: hidden; max-width: min(24rem, 90vw); padding: .4rem .6rem;
  border: 1px solid GrayText; border-radius: 3px; background: Canvas; color: CanvasText;
  font: 13px/1.4 system-ui, sans-serif; pointer-events: none; overflow-wrap: anywhere;
}
#vg-tooltip-element.visible { visibility: visible; }
#vg-tooltip-element td { padding: 0 .5em 0 0; vertical-align: top; border: 0; }
#vg-tooltip-element td.key { color: GrayText; }
@media print { #vg-tooltip-element { display: none; } }
`;

const sheet = new CSSStyleSheet(); // a style element would need leave from the page's policy
sheet.replaceSync(STYLE);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();
let printing = false;

const placeOf = (figure) => figure.querySelector(".drawing");
const specOf = (figure) => JSON.parse(figure.querySelector('script[type="application/json"]').textContent);

function configFor(width) {
  const config = structuredClone(CONFIGS[dark.matches && !printing ? "dark" : "light"]);
  config.axis.labelLimit = Math.round(Math.min(220, Math.max(84, width * 0.3)));
  config.legend.columns = width < 480 ? 2 : 4;
  config.legend.labelLimit = Math.round(width / 3);
  return config;
}

async function draw(figure) {
  const place = placeOf(figure);
  if (!place.clientWidth) return; // inside something closed: it is drawn when it comes into view
  const turn = (drawn.get(figure)?.turn ?? 0) + 1;
  drawn.get(figure)?.result?.finalize();
  drawn.set(figure, { turn });
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    actions: false,
    ast: true, // interprets expressions; else they would need "unsafe-eval"
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
    config: configFor(place.clientWidth),
  };
  try {
    const result = await vegaEmbed(place, specOf(figure), options);
    place.style.minHeight = "";
    if (drawn.get(figure).turn === turn) drawn.get(figure).result = result;
    else result.finalize();
  } catch (error) {
    place.textContent = "This chart could not be drawn.";
    console.error(error);
  }
}

function start() {
  const figures = [...document.querySelectorAll("figure.chart")];
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        watcher.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "400px" },
  );
  for (const figure of figures) {
    placeOf(figure).style.minHeight = `${specOf(figure).height + 80}px`; // about what it will take, with its axes
    watcher.observe(figure);
  }
  const again = () => [...drawn.keys()].forEach(draw);
  dark.addEventListener("change", again);
  addEventListener("beforeprint", () => {
    printing = true;
    for (const figure of figures) if (dark.matches || !drawn.get(figure)?.result) draw(figure);
  });
  addEventListener("afterprint", () => {
    printing = false;
    if (dark.matches) again();
  });
}

// not before all deferred scripts have run: another one may write the data
if (document.readyState === "complete") start();
else document.addEventListener("DOMContentLoaded", start);
