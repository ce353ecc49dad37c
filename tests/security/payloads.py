"""Readmes that would run a script, ask another site for something, or draw over the page."""

ELSEWHERE = "https://elsewhere.example"
# Those that run a script set `pwned`.
PAYLOADS = [
    "<script>pwned=1</script>",
    "<SCRIPT SRC=//elsewhere.example/x.js></SCRIPT>",
    "<scr<script>ipt>pwned=1</scr</script>ipt>",
    "<script\x0c>pwned=1</script>",
    "<<script>pwned=1//<</script>",
    "<img src=x onerror=pwned=1>",
    "<img src=https://elsewhere.example/pixel.gif>",
    "<img srcset='https://elsewhere.example/a.png 1x'>",
    "<img/src=x/onerror=pwned=1>",
    '<img src="x` `<script>pwned=1</script>"` `>',
    "![x](https://elsewhere.example/pixel.png)",
    "![x](https://elsewhere.example/p.png 'a\" onerror=\"pwned=1')",
    "![x\"onerror=\"pwned=1](x)",
    "<svg onload=pwned=1>",
    "<svg><script>pwned=1</script></svg>",
    "<svg><animate onbegin=pwned=1 attributeName=x dur=1s></svg>",
    "<svg><a xlink:href='javascript:pwned=1'><text>x</text></a></svg>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=pwned=1>#x'></svg>",
    "<svg></p><style><a id=\"</style><img src=1 onerror=pwned=1>\">",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 "
    "onerror=pwned=1&gt;\"></style></mglyph></table></mtext></math>",
    "<math href='javascript:pwned=1'>x</math>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=pwned=1>",
    "<noscript><p title=\"</noscript><img src=x onerror=pwned=1>\">",
    "<iframe src=javascript:pwned=1></iframe>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<object data=https://elsewhere.example/x.swf></object>",
    "<embed src=https://elsewhere.example/x.swf>",
    "<applet code=x></applet>",
    "<video src=x onerror=pwned=1></video>",
    "<video poster=https://elsewhere.example/p.png></video>",
    "<audio src=https://elsewhere.example/a.mp3 autoplay></audio>",
    "<details open ontoggle=pwned=1><summary>x</summary></details>",
    "<input autofocus onfocus=pwned=1>",
    "<select autofocus onfocus=pwned=1></select>",
    "<textarea autofocus onfocus=pwned=1>",
    "<body onload=pwned=1>",
    "<body background=https://elsewhere.example/b.png>",
    "<marquee onstart=pwned=1>x</marquee>",
    "<a href='javascript:pwned=1' autofocus onfocus=pwned=1>x</a>",
    "<a href='java&#x09;script:pwned=1'>x</a>",
    "<a href='&#106;avascript:pwned=1'>x</a>",
    "<a href=' javascript:pwned=1'>x</a>",
    "<a href='\x01javascript:pwned=1'>x</a>",
    "<a href='vbscript:pwned=1'>x</a>",
    "<a href='data:text/html,<script>opener.pwned=1</script>' target=_blank>x</a>",
    "<a href='//elsewhere.example'>x</a>",
    "<a href='/accounts/logout/'>x</a>",
    "<a href='https://elsewhere.example' target=_blank ping='https://elsewhere.example/p'>x</a>",
    "[x](javascript:pwned=1)",
    "[x](JaVaScRiPt:pwned=1)",
    "[x](<javascript:pwned=1>)",
    "[x](javascript&colon;pwned=1)",
    "[x]: javascript:pwned=1\n\n[x]",
    "<javascript:pwned=1>",
    "<https://elsewhere.example/?\"onmouseover=\"pwned=1>",
    "[x](https://elsewhere.example \"a' onmouseover='pwned=1\")",
    "<style>@import 'https://elsewhere.example/x.css';</style>",
    "<style>body{background:url(https://elsewhere.example/b.png)}</style>",
    "<link rel=stylesheet href=https://elsewhere.example/x.css>",
    "<link rel=preload as=image href=https://elsewhere.example/x.png>",
    "<p style='background:url(https://elsewhere.example/b.png);position:fixed;inset:0'>x</p>",
    "<table background=https://elsewhere.example/b.png><tr><td>x</td></tr></table>",
    "<meta http-equiv=refresh content='0;url=https://elsewhere.example'>",
    "<meta http-equiv=Content-Security-Policy content=\"script-src 'unsafe-inline'\">",
    "<base href=https://elsewhere.example/>",
    "<form action=https://elsewhere.example><button>Sign in</button></form>",
    "<button form=x formaction=javascript:pwned=1>x</button>",
    "<isindex action=https://elsewhere.example type=image>",
    "<p id=content name=content class='masthead banner'>x</p>",
    "<a id=keys name=htmx href=#keys>x</a><h2 id='keys'>x</h2>",
    "<div hx-get=/environments/ hx-trigger=load hx-on:load='pwned=1'>x</div>",
    "<div data-hx-get=https://elsewhere.example data-hx-trigger=load>x</div>",
    "<div data-copy=#x data-row data-theme-toggle>x</div>",
    "<template><img src=x onerror=pwned=1></template>",
    "<xmp><img src=x onerror=pwned=1></xmp>",
    "<plaintext><img src=x onerror=pwned=1>",
    "<!--><img src=x onerror=pwned=1>-->",
    "<![CDATA[><img src=x onerror=pwned=1>]]>",
    "<?xml-stylesheet href=javascript:pwned=1?><?php pwned=1 ?>",
    "```html\n<img src=x onerror=pwned=1>\n```",
    "```\"><img/src=x/onerror=pwned=1>\nx\n```",
    "`<img src=x onerror=pwned=1>`",
    "# <img src=x onerror=pwned=1>\n\n## \"><script>pwned=1</script>",
    "| <img src=x onerror=pwned=1> |\n|---|\n| <script>pwned=1</script> |",
    "\ufeff<script>pwned=1</script>",
    "<img src=x onerror=pwned=1\u2028>",
    "<x onclick=pwned=1 tabindex=1 autofocus onfocus=pwned=1>x</x>",
    "<dialog open><form method=dialog><button>Your session is over</button></form></dialog>",
]  # fmt: skip

# What is wrong with the page, as a list: empty if nothing is.
HARM = """() => {
  const found = [];
  if (typeof globalThis.pwned !== "undefined") found.push("a script ran");
  const inside = document.querySelector("main .prose") ?? document.createElement("p");
  const banned = "script, style, iframe, object, embed, form, input, button, textarea, select, " +
    "svg, math, link, meta, base, img, video, audio, template, dialog, body";
  for (const element of inside.querySelectorAll("*")) {
    const text = element.outerHTML.slice(0, 120);
    if (element.matches(banned)) found.push(`element ${text}`);
    if (getComputedStyle(element).position !== "static") found.push(`out of its place ${text}`);
    for (const { name, value } of element.attributes) {
      const known = ["href", "title", "class", "id", "rel", "colspan", "rowspan", "scope", "start"];
      if (!known.includes(name)) found.push(`attribute ${name} of ${text}`);
      if (name === "id" && !value.startsWith("readme-")) found.push(`id ${text}`);
    }
    if (element.matches("a[href]") && !["https:", "http:", "mailto:"].includes(element.protocol))
      found.push(`address ${text}`);
    if (element.matches("a[href]") && element.host === location.host && !element.hash)
      found.push(`address inside the site ${text}`);
  }
  return found;
}"""
