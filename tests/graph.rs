//! Order, ready sets and circles.

use std::collections::HashSet;

use cutover::graph::{self, Graph, GraphError};
use indexmap::IndexMap;
use proptest::prelude::*;

fn graph(things: &[(&'static str, &[&'static str])]) -> Result<Graph<&'static str>, GraphError<&'static str>> {
    Graph::new(things.iter().map(|(thing, needs)| (*thing, needs.to_vec())))
}

#[test]
fn the_order_keeps_what_was_written_among_equals() {
    let graph =
        graph(&[("e2e", &["unit", "api"]), ("unit", &["install"]), ("lint", &[]), ("api", &["install"]), ("install", &[])]).unwrap();
    assert_eq!(graph.order(), [&"lint", &"install", &"unit", &"api", &"e2e"]);
    assert_eq!(graph.dependents(&"install"), [&"e2e", &"unit", &"api"]);
    assert_eq!(graph.closure([&"api"]), [&"install", &"api"]);
    assert_eq!(graph.ready(&HashSet::from(["lint"]), &HashSet::new()), [&"install"]);
    assert_eq!(graph.ready(&HashSet::from(["lint", "install"]), &HashSet::from(["install"])), [&"unit", &"api"]);
}

#[test]
fn a_circle_is_shown_as_a_path() {
    let circle = graph(&[("x", &["b"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]).unwrap_err();
    assert_eq!(circle.to_string(), "a → b → c → a");
    assert_eq!(graph(&[("a", &["a"])]).unwrap_err().to_string(), "a → a");
    assert_eq!(graph(&[("a", &["b"])]).unwrap_err(), GraphError::Unknown { from: "a", to: "b" });
    let two: IndexMap<&str, Vec<&str>> =
        [("a", vec!["b"]), ("b", vec!["a"]), ("c", vec!["d", "a"]), ("d", vec!["c"])].into_iter().collect();
    assert_eq!(graph::cycles(&two), [["a", "b"], ["c", "d"]], "each circle once");
    assert_eq!(graph::order(&["b", "a"], |thing| if *thing == "b" { vec!["a", "not there"] } else { Vec::new() }), Ok(vec!["a", "b"]));
}

proptest! {
    #[test]
    fn an_order_is_found_exactly_when_there_is_no_circle(edges in proptest::collection::vec((0u8..12, 0u8..12), 0..24)) {
        let mut needs: IndexMap<u8, Vec<u8>> = (0..12).map(|thing| (thing, Vec::new())).collect();
        for (from, to) in edges {
            needs[&from].push(to);
        }
        match Graph::new(needs.clone()) {
            Ok(graph) => {
                let order = graph.order();
                prop_assert_eq!(order.len(), needs.len());
                let at = |thing: &u8| order.iter().position(|own| *own == thing);
                for (thing, needs) in &needs {
                    for need in needs {
                        prop_assert!(at(need) < at(thing), "{} after {}", thing, need);
                    }
                }
            }
            Err(GraphError::Cycle(cycle)) => {
                for (at, thing) in cycle.iter().enumerate() {
                    prop_assert!(needs[thing].contains(&cycle[(at + 1) % cycle.len()]), "{:?} is a circle", cycle);
                }
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
