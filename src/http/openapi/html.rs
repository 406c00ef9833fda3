//! The description for people.

use super::{CALLS, ROUTES};

/// One page, without anything that has to be loaded.
pub(super) fn html() -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>weir</title>\n\
         <style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
         td,th{text-align:left;padding:.2em 1em .2em 0;vertical-align:top}</style>\n\
         <h1>weir</h1>\n<p>The same for programs: <a href=\"/v1/openapi.json\">openapi.json</a>. \
         A key goes into <code>Authorization: Bearer</code> or <code>X-API-Key</code>.</p>\n\
         <table>\n<tr><th>route<th>what it does<th>takes<th>answers\n",
    );
    for route in ROUTES {
        out.push_str(&format!(
            "<tr><td><code>{} {}</code><td>{}<td>{}<td>{}\n",
            route.method.to_uppercase(),
            route.path,
            route.summary,
            route.takes.join("<br>"),
            route.gives.join("<br>")
        ));
    }
    out.push_str("</table>\n<h2>OTLP over gRPC</h2>\n<ul>\n");
    for call in CALLS {
        out.push_str(&format!("<li><code>{call}</code>\n"));
    }
    out.push_str("</ul>\n");
    out
}
