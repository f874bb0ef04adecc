use super::*;
use tables::settings as all;

#[test]
fn every_tabulated_hall_symbol_gives_its_operations() {
    for (i, setting) in all().iter().enumerate() {
        let operations = setting.operations();
        assert_eq!(operations[0], IDENTITY);
        for written in [
            setting.hall.clone(),
            setting.hall.replace('"', "=").replace('\'', "^"),
            setting.hall.replace(' ', "_").to_lowercase(),
        ] {
            let read = hall::read(&written).unwrap_or_else(|e| panic!("{i} {written}: {e}"));
            assert!(read.len() == operations.len() && same_group(&read, &operations), "{i} {written}");
        }
        if let Ok(read) = hall::read(&setting.hall.replace(' ', "")) {
            assert!(same_group(&read, &operations), "{}", setting.hall);
        }
        assert_eq!(space_group_number(&operations), Some(setting.number), "{}", setting.hall);
    }
}
