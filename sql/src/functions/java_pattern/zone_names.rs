//! English names of time zones, written and read.
//!
//! A name is read as the zone that most people mean by it, with all its rules: `PST` in July is summer time on the Pacific coast.

use chrono_tz::Tz;

/// Short name, minutes from UTC, long name, the zone that is read.
const NAMES: [(&str, i32, &str, Tz); 82] = [
    ("UTC", 0, "Coordinated Universal Time", Tz::UTC),
    ("GMT", 0, "Greenwich Mean Time", Tz::GMT),
    ("PST", -480, "Pacific Standard Time", Tz::America__Los_Angeles),
    ("PDT", -420, "Pacific Daylight Time", Tz::America__Los_Angeles),
    ("MST", -420, "Mountain Standard Time", Tz::America__Denver),
    ("MDT", -360, "Mountain Daylight Time", Tz::America__Denver),
    ("CST", -360, "Central Standard Time", Tz::America__Chicago),
    ("CDT", -300, "Central Daylight Time", Tz::America__Chicago),
    ("EST", -300, "Eastern Standard Time", Tz::America__New_York),
    ("EDT", -240, "Eastern Daylight Time", Tz::America__New_York),
    ("AKST", -540, "Alaska Standard Time", Tz::America__Juneau),
    ("AKDT", -480, "Alaska Daylight Time", Tz::America__Juneau),
    ("HST", -600, "Hawaii-Aleutian Standard Time", Tz::Pacific__Honolulu),
    ("HDT", -540, "Hawaii-Aleutian Daylight Time", Tz::America__Adak),
    ("AST", -240, "Atlantic Standard Time", Tz::America__Halifax),
    ("ADT", -180, "Atlantic Daylight Time", Tz::America__Halifax),
    ("NST", -210, "Newfoundland Standard Time", Tz::America__St_Johns),
    ("NDT", -150, "Newfoundland Daylight Time", Tz::America__St_Johns),
    ("CST", -300, "Cuba Standard Time", Tz::America__Havana),
    ("CDT", -240, "Cuba Daylight Time", Tz::America__Havana),
    ("SST", -660, "Samoa Standard Time", Tz::Pacific__Pago_Pago),
    ("ChST", 600, "Chamorro Standard Time", Tz::Pacific__Guam),
    ("BRT", -180, "Brasilia Standard Time", Tz::America__Sao_Paulo),
    ("BRST", -120, "Brasilia Summer Time", Tz::America__Sao_Paulo),
    ("ART", -180, "Argentina Standard Time", Tz::America__Argentina__Buenos_Aires),
    ("COT", -300, "Colombia Standard Time", Tz::America__Bogota),
    ("PET", -300, "Peru Standard Time", Tz::America__Lima),
    ("BST", 60, "British Summer Time", Tz::Europe__London),
    ("IST", 330, "India Standard Time", Tz::Asia__Kolkata),
    ("IST", 60, "Irish Standard Time", Tz::Europe__Dublin),
    ("IST", 120, "Israel Standard Time", Tz::Asia__Jerusalem),
    ("IDT", 180, "Israel Daylight Time", Tz::Asia__Jerusalem),
    ("WET", 0, "Western European Standard Time", Tz::Atlantic__Canary),
    ("WEST", 60, "Western European Summer Time", Tz::Atlantic__Canary),
    ("CET", 60, "Central European Standard Time", Tz::Europe__Paris),
    ("CEST", 120, "Central European Summer Time", Tz::Europe__Paris),
    ("EET", 120, "Eastern European Standard Time", Tz::Europe__Bucharest),
    ("EEST", 180, "Eastern European Summer Time", Tz::Europe__Bucharest),
    ("MSK", 180, "Moscow Standard Time", Tz::Europe__Moscow),
    ("TRT", 180, "Turkey Time", Tz::Europe__Istanbul),
    ("SAST", 120, "South Africa Standard Time", Tz::Africa__Johannesburg),
    ("EAT", 180, "East Africa Time", Tz::Africa__Nairobi),
    ("WAT", 60, "West Africa Standard Time", Tz::Africa__Lagos),
    ("CAT", 120, "Central Africa Time", Tz::Africa__Maputo),
    ("GST", 240, "Gulf Standard Time", Tz::Asia__Dubai),
    ("IRST", 210, "Iran Standard Time", Tz::Asia__Tehran),
    ("IRDT", 270, "Iran Daylight Time", Tz::Asia__Tehran),
    ("AFT", 270, "Afghanistan Time", Tz::Asia__Kabul),
    ("PKT", 300, "Pakistan Standard Time", Tz::Asia__Karachi),
    ("UZT", 300, "Uzbekistan Standard Time", Tz::Asia__Tashkent),
    ("NPT", 345, "Nepal Time", Tz::Asia__Kathmandu),
    ("BDT", 360, "Bangladesh Standard Time", Tz::Asia__Dhaka),
    ("MMT", 390, "Myanmar Time", Tz::Asia__Yangon),
    ("ICT", 420, "Indochina Time", Tz::Asia__Bangkok),
    ("ICT", 420, "Indochina Time", Tz::Asia__Ho_Chi_Minh),
    ("WIB", 420, "Western Indonesia Time", Tz::Asia__Jakarta),
    ("WITA", 480, "Central Indonesia Time", Tz::Asia__Makassar),
    ("WIT", 540, "Eastern Indonesia Time", Tz::Asia__Jayapura),
    ("CST", 480, "China Standard Time", Tz::Asia__Shanghai),
    ("HKT", 480, "Hong Kong Standard Time", Tz::Asia__Hong_Kong),
    ("SGT", 480, "Singapore Standard Time", Tz::Asia__Singapore),
    ("MYT", 480, "Malaysia Time", Tz::Asia__Kuala_Lumpur),
    ("PST", 480, "Philippine Standard Time", Tz::Asia__Manila),
    ("CST", 480, "Taipei Standard Time", Tz::Asia__Taipei),
    ("ULAT", 480, "Ulaanbaatar Standard Time", Tz::Asia__Ulaanbaatar),
    ("JST", 540, "Japan Standard Time", Tz::Asia__Tokyo),
    ("KST", 540, "Korean Standard Time", Tz::Asia__Seoul),
    ("AWST", 480, "Australian Western Standard Time", Tz::Australia__Perth),
    ("ACST", 570, "Australian Central Standard Time", Tz::Australia__Adelaide),
    ("ACDT", 630, "Australian Central Daylight Time", Tz::Australia__Adelaide),
    ("AEST", 600, "Australian Eastern Standard Time", Tz::Australia__Sydney),
    ("AEDT", 660, "Australian Eastern Daylight Time", Tz::Australia__Sydney),
    ("NZST", 720, "New Zealand Standard Time", Tz::Pacific__Auckland),
    ("NZDT", 780, "New Zealand Daylight Time", Tz::Pacific__Auckland),
    ("VLAT", 600, "Vladivostok Standard Time", Tz::Asia__Vladivostok),
    ("NOVT", 420, "Novosibirsk Standard Time", Tz::Asia__Novosibirsk),
    ("YEKT", 300, "Yekaterinburg Standard Time", Tz::Asia__Yekaterinburg),
    ("ET", -300, "Eastern Time", Tz::America__New_York),
    ("CT", -360, "Central Time", Tz::America__Chicago),
    ("MT", -420, "Mountain Time", Tz::America__Denver),
    ("PT", -480, "Pacific Time", Tz::America__Los_Angeles),
    ("WAKT", 720, "Wake Island Time", Tz::Pacific__Wake),
];

/// The name of a zone where it is `minutes` from UTC; `short` is the abbreviation in the rules, which is a number where none is in use.
pub(super) fn name(zone: Tz, short: &str, minutes: i32, full: bool) -> Option<String> {
    let numeric = !short.starts_with(|c: char| c.is_ascii_alphabetic());
    let of_zone = NAMES.iter().find(|(_, offset, _, named)| *named == zone && *offset == minutes);
    let found = match of_zone {
        Some(found) => Some(found),
        None if numeric => None,
        None => NAMES.iter().find(|(name, offset, ..)| *name == short && *offset == minutes),
    };
    match found {
        Some((_, _, long, _)) if full => Some((*long).to_owned()),
        Some((name, ..)) => Some((*name).to_owned()),
        None if numeric || full => None,
        None => Some(short.to_owned()),
    }
}

/// The zone whose name stands at the beginning of a text, in any case, and how long the name is; the longest one.
pub(super) fn read(text: &str) -> Option<(Tz, usize)> {
    let starts = |name: &str| text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    let mut best: Option<(Tz, usize)> = None;
    for (short, _, long, zone) in &NAMES {
        for name in [*short, *long] {
            // Of equal names the first in the table is meant.
            if best.is_none_or(|(_, length)| name.len() > length) && starts(name) {
                best = Some((*zone, name.len()));
            }
        }
    }
    best
}
