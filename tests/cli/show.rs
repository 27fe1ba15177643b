//! `vgic-state show`

use super::{guests, json, of_guests, snapshot, stderr, stdout};
use vgic_state::gicv5::Iste;
use vgic_state::image::IstCoding;

/// What the tool prints on standard output, if all is well.
fn shown(args: &[&str]) -> String {
    let output = of_guests(args);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{args:?}");
    stdout(&output).to_owned()
}

#[test]
fn an_image_is_shown_with_registers_interrupts_and_mappings() {
    snapshot!("cli_show_gicv3", shown(&["show", "gicv3.img"]));
    snapshot!("cli_show_gicv5", shown(&["show", "guest.img"]));
}

#[test]
fn tables_in_guest_memory_are_not_shown_and_that_is_said() {
    let text = shown(&["show", "ram.img"]);
    assert!(text.contains("1 ITS, tables in guest memory;"), "{text}");
    assert!(text.contains("The tables of the ITSes are in guest memory: vgic-state its --help."), "{text}");
    assert!(!text.contains("LPI  "), "{text}");
}

#[test]
fn filters_narrow_and_widen() {
    let count = |args: &str| {
        let args: Vec<&str> = "show guest.img --only interrupts --format tsv".split(' ').chain(args.split_whitespace()).collect();
        shown(&args).lines().skip(1).count()
    };
    // 2 vCPUs with 64 PPIs, 32 SPIs, 256 LPIs; of those, in use: 2 PPIs, 2 SPIs, 17 LPIs.
    for (args, rows) in [
        ("", 4),
        ("--all", 128 + 32 + 256),
        ("--kind lpi", 17),
        ("--kind lpi --kind spi", 19),
        ("--kind lpi --intid 3-9", 7),
        ("--kind lpi --intid 3 --intid 40-", 2),
        ("--vcpu 1", 11),
        ("--vcpu 1 --kind ppi", 1),
        ("--pending", 3),
        ("--pending --active", 4),
        ("--pending --vcpu 1", 1),
        ("--disabled", 1),
        ("--all --kind ppi", 128),
    ] {
        assert_eq!(count(args), rows, "{args}");
    }
}

#[test]
fn json_says_what_a_table_says() {
    let value = json(&shown(&["show", "gicv3.img", "--all", "--format", "json"]));
    assert!(value["summary"].as_str().is_some_and(|text| text.starts_with("GICv3 image, version 1")));
    let lpi = value["interrupts"].as_array().expect("list").iter().find(|row| row["intid"] == 8196).expect("LPI");
    for (key, expected) in [
        ("kind", serde_json::json!("LPI")),
        ("vcpu", serde_json::json!(0)),
        ("pending", serde_json::json!(true)),
        ("enabled", serde_json::json!(false)),
        ("priority", serde_json::json!(160)),
        ("source", serde_json::json!("device 0x8 event 4")),
    ] {
        assert_eq!(lpi[key], expected, "{key}");
    }
    let register = |name: &str| {
        let list = value["registers"].as_array().expect("list");
        list.iter().find(|row| row["register"] == name).map(|row| row["value"].clone()).expect("register")
    };
    assert_eq!(register("GITS_CWRITER"), "0x000001e0");
    assert_eq!((value["devices"][0]["device"].clone(), value["devices"][0]["events"].clone()), ("0x8".into(), 6.into()));
    assert_eq!(value["events"].as_array().map(Vec::len), Some(8));
    assert_eq!(value["collections"][1]["vcpu"], 1);
}

#[test]
fn every_line_of_a_tsv_has_the_columns_of_its_table() {
    let text = shown(&["show", "gicv3.img", "--all", "--format", "tsv"]);
    let mut columns = ("", 0);
    for line in text.lines() {
        let table = line.split('\t').next().expect("table");
        if table != columns.0 {
            columns = (table, line.split('\t').count());
        }
        assert_eq!(line.split('\t').count(), columns.1, "{line}");
    }
}

#[test]
fn no_line_is_wider_than_asked_for_and_colours_are_for_terminals() {
    for image in ["guest.img", "gicv3.img"] {
        let text = shown(&["show", image, "--all", "--width", "90"]);
        assert!(text.lines().all(|line| line.chars().count() <= 90), "{text}");
        assert!(!text.contains('\x1b'));
        assert!(shown(&["show", image, "--color", "always"]).contains("\x1b[33m"));
    }
}

#[test]
fn what_is_strange_is_shown_without_being_asked_for() {
    let mut state = guests::gicv5();
    let lpis = state.lpi_ist.as_mut().expect("LPIs");
    assert!(lpis.set(50, Iste::new().with_enable(true).with_iaffid(9)));
    assert!(lpis.set(51, Iste::new().with_enable(true).with_irm(true)));
    let image = state.to_image(IstCoding::Raw).expect("image");
    guests::write(guests::directory(), "strange.img", &image);
    let text = shown(&["show", "strange.img", "--only", "interrupts"]);
    let row = |n: u32| text.lines().find(|line| line.contains(&format!("LPI      {n}"))).expect("row").split_whitespace().collect();
    let (unknown, one_of_n): (Vec<&str>, Vec<&str>) = (row(50), row(51));
    assert_eq!((unknown[2], unknown[3], one_of_n[3]), ("9?", "idle", "1-of-N"));
}
