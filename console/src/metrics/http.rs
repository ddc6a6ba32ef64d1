//! Calls of the API: how many by route, method and status, and how long they took. Routes are templates
//! (`/api/v1/defenders/{id}`), so there are no more of them than in the router, and no more than [`MOST_ROUTES`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::Text;

/// All calls since the start.
#[derive(Debug, Default)]
pub struct Calls {
    routes: Mutex<BTreeMap<Box<str>, BTreeMap<&'static str, Figures>>>,
}

/// One call that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The template of its route; `None` when there is no such path.
    pub route: Option<&'a str>,
    /// Its method.
    pub method: &'a Method,
    /// Its answer.
    pub status: StatusCode,
    /// From its headers to the headers of the answer.
    pub took: Duration,
}

/// The calls of one route with one method.
#[derive(Debug, Default)]
struct Figures {
    statuses: BTreeMap<u16, u64>,
    /// Calls that took no longer than the bound of the same place, but longer than the bound before.
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Calls {
    /// Counts a call.
    pub fn count(&self, call: Call<'_>) {
        let mut routes = self.routes();
        let is_room = routes.len() < MOST_ROUTES;
        let known = |route: &&str| is_room || routes.contains_key(*route);
        let route = call.route.filter(known).unwrap_or(OTHER);
        if !routes.contains_key(route) {
            routes.insert(route.into(), BTreeMap::new());
        }
        let Some(methods) = routes.get_mut(route) else { return };
        let figures = methods.entry(method(call.method)).or_default();
        *figures.statuses.entry(call.status.as_u16()).or_default() += 1;
        let seconds = call.took.as_secs_f64();
        let place = BOUNDS.iter().position(|(bound, _)| seconds <= *bound);
        if let Some(bucket) = place.and_then(|place| figures.buckets.get_mut(place)) {
            *bucket += 1;
        }
        figures.count += 1;
        figures.sum += call.took;
    }

    pub(super) fn write(&self, text: &mut Text) {
        let routes = self.routes();
        let help = "Calls of the API since the start, by route, method and status.";
        text.family("garrison_http_requests_total", "counter", help);
        each(&routes, |route, method, figures| {
            for (status, count) in &figures.statuses {
                text.sample(
                    "",
                    &[("route", route), ("method", method), ("status", &status.to_string())],
                    count,
                );
            }
        });
        let help = "Time from the headers of a call to the headers of its answer.";
        text.family("garrison_http_request_duration_seconds", "histogram", help);
        each(&routes, |route, method, figures| {
            let mut so_far = 0;
            for ((_, bound), count) in BOUNDS.iter().zip(figures.buckets) {
                so_far += count;
                text.sample("_bucket", &[("route", route), ("method", method), ("le", bound)], so_far);
            }
            text.sample("_bucket", &[("route", route), ("method", method), ("le", "+Inf")], figures.count);
            text.sample("_sum", &[("route", route), ("method", method)], figures.sum.as_secs_f64());
            text.sample("_count", &[("route", route), ("method", method)], figures.count);
        });
    }

    fn routes(&self) -> MutexGuard<'_, BTreeMap<Box<str>, BTreeMap<&'static str, Figures>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn each(
    routes: &BTreeMap<Box<str>, BTreeMap<&'static str, Figures>>,
    mut show: impl FnMut(&str, &str, &Figures),
) {
    for (route, methods) in routes {
        for (method, figures) in methods {
            show(route, method, figures);
        }
    }
}

/// Callers may invent methods.
fn method(method: &Method) -> &'static str {
    let known = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or(OTHER)
}

/// What callers invent, in one place.
const OTHER: &str = "other";

/// Far above what the router has: whatever it is asked, the page stays small.
const MOST_ROUTES: usize = 200;

/// Upper bounds of the buckets in seconds, and as they are written.
const BOUNDS: [(f64, &str); 10] = [
    (0.001, "0.001"),
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1"),
    (5.0, "5"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn written(calls: &Calls) -> String {
        let mut text = Text::default();
        calls.write(&mut text);
        text.finish()
    }

    #[test]
    fn buckets_add_up_and_what_callers_invent_is_other() {
        let calls = Calls::default();
        let get = |milliseconds| Call {
            route: Some("/api/v1/defenders/{id}"),
            method: &Method::GET,
            status: StatusCode::OK,
            took: Duration::from_millis(milliseconds),
        };
        for milliseconds in [1, 2, 25, 26, 10_000] {
            calls.count(get(milliseconds));
        }
        let invented = Method::from_bytes(b"BREW").expect("a method");
        calls.count(Call { route: None, method: &invented, status: StatusCode::NOT_FOUND, ..get(0) });
        let text = written(&calls);
        let labels = "route=\"/api/v1/defenders/{id}\",method=\"GET\"";
        for (le, count) in [("0.001", 1), ("0.005", 2), ("0.025", 3), ("0.05", 4), ("5", 4), ("+Inf", 5)] {
            let line =
                format!("garrison_http_request_duration_seconds_bucket{{{labels},le=\"{le}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(text.contains(&format!("_sum{{{labels}}} 10.054\n")), "{text}");
        assert!(text.contains(&format!("_count{{{labels}}} 5\n")), "{text}");
        assert!(text.contains("{route=\"other\",method=\"other\",status=\"404\"} 1\n"), "{text}");
    }

    #[test]
    fn there_is_a_bound_to_routes_whatever_is_asked() {
        let calls = Calls::default();
        for number in 0..2 * MOST_ROUTES {
            let route = format!("/{number}");
            let call = Call {
                route: Some(&route),
                method: &Method::GET,
                status: StatusCode::OK,
                took: Duration::ZERO,
            };
            calls.count(call);
        }
        let text = written(&calls);
        assert_eq!(text.matches("garrison_http_requests_total{").count(), MOST_ROUTES + 1);
        assert!(text.contains(&format!("{{route=\"other\",method=\"GET\",status=\"200\"}} {MOST_ROUTES}\n")));
    }
}
