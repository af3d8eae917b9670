"""How the page looks."""

CSS = """
body { --ry-paper: #fff; } body.body--dark { --ry-paper: #1d1d1d; }
.ry-compose .q-btn .q-icon { font-size: 19px; }
body.body--dark .ry-compose { color-scheme: dark; } body.body--dark .ry-compose .q-btn.text-primary, body.body--dark .ry-dialog .q-btn.text-primary { color: #8db2ff !important; }
.ry-compose { display: grid; grid-template-columns: minmax(300px, 400px) minmax(0, 1fr); gap: 16px; width: 100%; align-items: start; }
.ry-panes { display: none; }
.ry-pane-find { position: sticky; top: 60px; max-height: calc(100vh - 76px); overflow: auto; display: flex; flex-direction: column; gap: 8px; padding: 2px; }
.ry-pane-list { display: flex; flex-direction: column; gap: 10px; min-width: 0; }
.ry-finder { width: 100%; gap: 8px; }
.ry-crumbs { gap: 2px 6px; min-height: 28px; }
.ry-crumb { background: none; border: 0; padding: 2px 4px; font: inherit; color: inherit; cursor: pointer; border-radius: 4px; overflow-wrap: anywhere; text-align: left; }
.ry-crumb:hover { background: var(--ry-soft); } .ry-crumb[aria-current] { font-weight: 600; }
.ry-clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); gap: 8px; width: 100%; }
.ry-clip { position: relative; min-width: 0; }
.ry-clip-add, .ry-folder { width: 100%; display: flex; flex-direction: column; text-align: left; gap: 2px; padding: 4px; border: 1px solid var(--ry-line); border-radius: 8px; background: var(--ry-paper); color: inherit; font: inherit; cursor: pointer; min-width: 0; }
  .ry-clip-add:hover, .ry-folder:hover { border-color: #2f6fed; }
.ry-folder { flex-direction: row; align-items: center; gap: 6px; min-height: 40px; grid-column: span 1; }
.ry-folder .material-icons { font-size: 20px; color: var(--ry-dim); }
.ry-clip-image { width: 100%; aspect-ratio: 16/9; object-fit: cover; border-radius: 5px; background: #14161a; }
.ry-clip-name { font-size: 12.5px; line-height: 1.3; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 100%; }
.ry-clip-facts { font-size: 11.5px; min-height: 16px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 100%; }
.ry-clip-count { position: absolute; left: 8px; top: 8px; background: rgba(20,22,26,.8); color: #fff; font-size: 11px; border-radius: 4px; padding: 1px 5px; pointer-events: none; }
.ry-clip-count:empty { display: none; }
.ry-box { width: 18px; height: 18px; accent-color: #2f6fed; cursor: pointer; margin: 0; }
.ry-clip-box { position: absolute; right: 9px; top: 9px; }
  .ry-dialog .ry-clip-box { display: none; }
.ry-picked { align-items: center; position: sticky; bottom: 0; width: 100%; gap: 4px; padding: 6px; border: 1px solid var(--ry-line); border-radius: 8px; background: var(--ry-paper); z-index: 1; }
.ry-settings, .ry-switches { align-items: center; } .ry-settings { width: 100%; gap: 8px 10px; } .ry-settings .q-field { padding-bottom: 0; } .ry-switches { gap: 6px 20px; flex: 1 1 100%; } .ry-grow { flex: 1 1 200px; }
.ry-rows { background: var(--ry-paper); width: 100%; gap: 0; counter-reset: row; border: 1px solid var(--ry-line); border-radius: 10px; }
.ry-rows:empty { display: none; }
.ry-row { width: 100%; display: grid; grid-template-columns: 22px 20px 30px 96px minmax(0, 1fr) 104px 62px auto; gap: 4px 8px; align-items: center; padding: 5px 8px; border-bottom: 1px solid var(--ry-line); counter-increment: row; content-visibility: auto; contain-intrinsic-height: auto 65px; }
.ry-row:last-child { border-bottom: 0; }
.ry-row:focus-visible { outline-offset: -2px; }
.ry-row::before { content: counter(row); order: 3; text-align: right; color: var(--ry-dim); font-variant-numeric: tabular-nums; font-size: 13px; }
.ry-handle { order: 1; cursor: grab; color: var(--ry-dim); font-size: 22px; touch-action: none; user-select: none; }
.ry-row > .ry-box { order: 2; } .ry-row-thumb { order: 4; width: 96px; height: 54px; object-fit: cover; border-radius: 5px; background: #14161a; }
.ry-row-main { order: 5; min-width: 0; } .ry-row-type { order: 6; } .ry-row-length { order: 7; text-align: right; } .ry-row-buttons { order: 8; display: flex; } .ry-row-notes { order: 9; grid-column: 4 / -1; } .ry-row-more { order: 10; grid-column: 1 / -1; }
.ry-row-name { display: block; max-width: 100%; background: none; border: 0; padding: 0; font: inherit; color: inherit; cursor: pointer; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; text-align: left; }
.ry-row-name:hover { text-decoration: underline; }
.ry-row-said { font-size: 12px; min-height: 17px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.ry-row-type { width: 100%; height: 32px; border: 1px solid var(--ry-line); border-radius: 6px; background: var(--ry-paper); color: inherit; font: inherit; padding: 0 4px; }
body.body--dark .ry-row-type option { background: #1d1d1d; color: #fff; }
.ry-icon { width: 32px; height: 32px; display: inline-flex; align-items: center; justify-content: center; border: 0; border-radius: 6px; background: none; color: var(--ry-dim); font-size: 18px; cursor: pointer; }
.ry-icon { font-family: 'Material Icons'; font-feature-settings: 'liga'; line-height: 1; }
.ry-icon:hover { background: var(--ry-soft); color: inherit; }
.ry-notes { width: 100%; display: flex; flex-direction: column; gap: 4px; } .ry-notes:empty { display: none; }
.ry-note { display: flex; gap: 6px; align-items: flex-start; font-size: 13px; line-height: 1.35; padding: 3px 8px; border-radius: 6px; overflow-wrap: anywhere; min-width: 0; }
.ry-note .material-icons { font-size: 17px; flex: none; }
.ry-problem { background: rgba(200,30,40,.10); color: #a11622; } .ry-warning { background: rgba(190,130,0,.13); color: #7a5200; }
body.body--dark .ry-problem { color: #ff9b9b; background: rgba(255,80,80,.14); } body.body--dark .ry-warning { color: #f0c674; background: rgba(240,190,80,.12); }
.ry-editor { gap: 8px; padding: 6px 0 8px 50px; width: 100%; } .ry-editor .ry-time { width: 130px; } .ry-editor .ry-wide { flex: 1 1 220px; }
.ry-selection { align-items: center; width: 100%; gap: 4px; padding: 4px 8px; min-height: 42px; border: 1px solid var(--ry-line); border-radius: 8px; position: sticky; top: 56px; background: var(--ry-paper); z-index: 2; }
.ry-bar { position: sticky; bottom: 0; z-index: 3; width: 100%; background: var(--ry-paper); border: 1px solid var(--ry-line); border-radius: 10px 10px 0 0; padding: 8px 12px; display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; box-shadow: 0 -4px 14px rgba(0,0,0,.07); }
.ry-facts { flex: 1 1 100%; display: flex; flex-wrap: wrap; gap: 4px 20px; } .ry-fact-label { font-size: 11.5px; line-height: 1.2; } .ry-fact-value { font-weight: 600; min-width: 44px; white-space: nowrap; line-height: 1.35; }
.ry-fact-length .ry-fact-value { min-width: 64px; }
.ry-actions { display: flex; flex: 1; flex-wrap: wrap; gap: 6px 10px; align-items: center; justify-content: flex-end; } .ry-why { font-size: 13px; flex: 1 1 160px; overflow-wrap: anywhere; }
.ry-draft { width: 100%; border: 1px solid var(--ry-line); border-radius: 10px; padding: 8px 12px; display: flex; flex-direction: column; gap: 8px; }
.ry-draft-film { width: 100%; max-width: 640px; aspect-ratio: 16/9; background: #000; border-radius: 6px; }
.ry-dialog { width: min(560px, 94vw); max-width: 94vw; gap: 10px; } .ry-dialog-wide { width: min(760px, 94vw); }
.ry-paste-wrong { width: 100%; gap: 4px; max-height: 220px; overflow: auto; flex-wrap: nowrap; } .ry-menu { min-width: 220px; }
@media (max-width: 1023px) {
  .ry-compose { grid-template-columns: minmax(0, 1fr); gap: 10px; }
  .ry-panes { display: flex; border: 1px solid var(--ry-line); border-radius: 8px; overflow: hidden; }
  .ry-pane-tab { flex: 1; padding: 9px; border: 0; background: none; color: inherit; font: inherit; cursor: pointer; }
  .ry-compose[data-pane=find] .ry-pane-tab[data-name=find], .ry-compose[data-pane=list] .ry-pane-tab[data-name=list] { background: #2f6fed; color: #fff; }
  .ry-compose[data-pane=list] .ry-pane-find, .ry-compose[data-pane=find] .ry-pane-list { display: none; }
  .ry-pane-find { position: static; max-height: none; }
}
@media (max-width: 700px) {
  .ry-row { grid-template-columns: 30px 22px 24px 72px minmax(0, 1fr); padding: 6px; }
  .ry-row-thumb { width: 72px; height: 41px; } .ry-handle { font-size: 26px; }
  .ry-row-type { order: 6; grid-column: 1 / 4; min-width: 0; } .ry-row-length { order: 7; grid-column: 4; }
  .ry-short .q-btn__content .block { display: none !important; } .ry-short .q-icon { margin: 0; }
  .ry-facts { display: grid; grid-template-columns: repeat(3, auto); gap: 2px 10px; font-size: 13px; } .ry-fact { display: flex; gap: 4px; align-items: baseline; flex-wrap: wrap; }
  .ry-fact .ry-fact-value { min-width: 0; } .ry-why { flex: 1 1 100%; }
  .ry-row-notes { grid-column: 1 / -1; } .ry-row-buttons { order: 8; grid-column: 5; grid-row: 2; justify-self: end; } .ry-editor { padding-left: 0; }
  .ry-icon { width: 36px; height: 36px; } .ry-bar { padding: 6px 8px; }
}
"""
