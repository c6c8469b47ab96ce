/** The report's CSS, with a light and a dark theme. Line colours differ in lightness too, for colour-blind readers. */
export const pageStyle = `
:root { color-scheme: light dark; --bg: #fafaf8; --card: #ffffff; --ink: #1c1d21; --muted: #63666f; --rule: #e3e3de; --c1: #2563a8; --c2: #c2571a; --c3: #4f8a3c; --c4: #8a4fa8; --c5: #a8862b; --c6: #2b8f8f; --bar: #2563a8; --bar-bg: #e8eaee; }
@media (prefers-color-scheme: dark) { :root { --bg: #15161a; --card: #1e2026; --ink: #e8e8ea; --muted: #9a9da6; --rule: #31343c; --c1: #77aef0; --c2: #f0a06a; --c3: #9ccf86; --c4: #cda3e8; --c5: #e0c877; --c6: #7fd6d6; --bar: #77aef0; --bar-bg: #2c2f37; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 44px 0 14px; }
p { margin: 0 0 10px; max-width: 78ch; }
.muted { color: var(--muted); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin: 26px 0 6px; }
.fact { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px; }
.fact b { display: block; font-size: 21px; white-space: nowrap; font-weight: 600; line-height: 1.2; font-variant-numeric: tabular-nums; }
.fact span { color: var(--muted); font-size: 13px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 16px; }
@media (max-width: 520px) { .charts { grid-template-columns: 1fr; } }
figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px 8px; }
figcaption { font-weight: 600; font-size: 14px; margin-bottom: 6px; display: flex; gap: 16px; justify-content: space-between; }
svg { width: 100%; height: auto; display: block; overflow: visible; }
.grid { stroke: var(--rule); } .axis { stroke: var(--muted); }
.tick { fill: var(--muted); font-size: 12px; font-variant-numeric: tabular-nums; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .line.faint { stroke-width: 1; opacity: .28; }
.line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); } .line.c3 { stroke: var(--c3); } .line.c4 { stroke: var(--c4); } .line.c5 { stroke: var(--c5); } .line.c6 { stroke: var(--c6); }
.dot.c1 { fill: var(--c1); } .dot.c2 { fill: var(--c2); } .dot.c3 { fill: var(--c3); } .dot.c4 { fill: var(--c4); } .dot.c5 { fill: var(--c5); } .dot.c6 { fill: var(--c6); }
.legend { display: flex; gap: 14px; font-weight: 400; color: var(--muted); font-size: 13px; }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: middle; }
.legend i.c1 { background: var(--c1); } .legend i.c2 { background: var(--c2); } .legend i.c3 { background: var(--c3); } .legend i.c4 { background: var(--c4); } .legend i.c5 { background: var(--c5); } .legend i.c6 { background: var(--c6); }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); gap: 12px; }
.sheet div { font-size: 12px; color: var(--muted); line-height: 1.35; text-align: center; }
.sheet img { width: 100%; aspect-ratio: 1; image-rendering: pixelated; border-radius: 6px; border: 1px solid var(--rule); display: block; margin-bottom: 4px; background: #000; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 6px 16px; overflow-x: auto; }
th { text-align: left; color: var(--muted); font-weight: 500; font-size: 13px; } th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--rule); } tr:last-child td { border-bottom: 0; }
td.n, th.n { text-align: right; } td.bars { width: 70%; } td.key { color: var(--muted); white-space: nowrap; width: 1%; padding-right: 24px; vertical-align: top; }
.bar { background: var(--bar-bg); border-radius: 4px; height: 12px; min-width: 160px; } .bar i { display: block; height: 12px; border-radius: 4px; background: var(--bar); }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 16px; align-items: start; }
code, pre { font: 13px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px; overflow-x: auto; margin: 0 0 12px; }
`;
