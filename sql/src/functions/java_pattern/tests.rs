//! Patterns against what Java 17 writes and reads with them; where it fails, the words are our own.

use super::*;

fn zone(id: &str) -> Zone {
    Zone::parse(id).unwrap()
}

#[test]
fn moments_are_written_as_java_does() {
    let check = |pattern: &str, epoch_ms: i64, id: &str, want: &str| {
        let mut got = String::new();
        let written = JavaPattern::parse(pattern).unwrap().format(epoch_ms, &zone(id), &mut got);
        let got = written.map_or_else(|error| error, |()| got);
        assert_eq!(got, want, "{pattern} of {epoch_ms} in {id}");
    };
    check("yyyy-MM-dd'T'HH:mm:ss.SSSX", 1_630_872_245_006, "UTC", "2021-09-05T20:04:05.006Z");
    check("y yy yyy yyyy yyyyy u uu", 1_630_872_245_006, "America/Los_Angeles", "2021 21 2021 2021 02021 2021 21");
    check("M MM MMM MMMM MMMMM L LLL", 1_630_872_245_006, "America/Los_Angeles", "9 09 Sep September S 9 Sep");
    check(
        "d dd D DD DDD E EEEE EEEEE e c Q QQ QQQ QQQQ w W Y",
        1_630_872_245_006,
        "America/Los_Angeles",
        "5 05 248 248 248 Sun Sunday S 1 1 3 03 Q3 3rd quarter 37 2 2021",
    );
    check("a h hh K KK k kk H HH", 1_630_872_245_006, "America/Los_Angeles", "PM 1 01 1 01 13 13 13 13");
    check("a h K k H", 0, "UTC", "AM 12 0 24 0");
    check(
        "S SS SSS SSSSSS SSSSSSSSS n A N",
        1_630_872_245_006,
        "UTC",
        "0 00 006 006000 006000000 6000000 72245006 72245006000000",
    );
    check(
        "X XX XXX XXXX XXXXX x xx xxx Z ZZZZ ZZZZZ O OOOO",
        1_630_872_245_006,
        "Asia/Kolkata",
        "+0530 +0530 +05:30 +0530 +05:30 +0530 +0530 +05:30 +0530 GMT+05:30 +05:30 GMT+5:30 GMT+05:30",
    );
    check("X XX XXX x xx xxx Z ZZZZ ZZZZZ O OOOO", 0, "UTC", "Z Z Z +00 +0000 +00:00 +0000 GMT Z GMT GMT");
    check("z zzzz VV", 1_630_872_245_006, "Europe/London", "BST British Summer Time Europe/London");
    check("z zzzz VV", 0, "+02:00", "+02:00 +02:00 +02:00");
    check("z VV X", 0, "Z", "Z Z Z");
    check("yyyy''MM 'o''clock' HH", 0, "UTC", "1970'01 o'clock 00");
    check("ppppH|pppMMM", 0, "UTC", "   0|Jan");
    check("ppMMM", 0, "UTC", "`Jan` is longer than its 2 places");
    check("[yyyy][ HH]", 0, "UTC", "1970 00");
    check("G yyyy u", -62_233_315_200_000, "UTC", "BC 0004 -3");
    check("yyyy uuuu", 253_402_387_200_000, "UTC", "+10000 +10000");
    check("YYYY-'W'ww-e", 1_609_372_800_000, "UTC", "2021-W01-5");
    check("YYYY ww W", 1_640_995_200_000, "UTC", "2022 01 1");
    check("YYYY ww W", 1_609_459_200_000, "UTC", "2021 01 1");
    check("X Z", -2_713_910_400_000, "Europe/Amsterdam", "+0017 +0017");
    check("XXXXX", -2_713_910_400_000, "Europe/Paris", "+00:09:21");
}

#[test]
fn moments_are_read_as_java_does() {
    let read = |pattern: &str, text: &str| JavaPattern::parse(pattern).unwrap().parse_moment(text, &Zone::UTC);
    let check = |pattern: &str, text: &str, want: i64| assert_eq!(read(pattern, text), Ok(want), "{text} by {pattern}");
    check("yyyy-MM-dd HH:mm:ss", "2021-09-05 20:04:05", 1_630_872_245_000);
    check("yyyyMMdd", "20210905", 1_630_800_000_000);
    check("yyyyMMddHHmmssSSS", "20210905200405006", 1_630_872_245_006);
    check("yyMMdd", "210905", 1_630_800_000_000);
    check("yy-MM-dd HH:mm:ssX", "10-04-19 12:00:17Z", 1_271_678_417_000);
    check("yyyy-MM-dd'T'HH:mm:ss.SX", "2019-08-27T13:31:09.2+0000", 1_566_912_669_200);
    check("yyyy-MM-dd'T'HH:mm:ss.SX", "2019-08-27T13:31:09.2+01", 1_566_909_069_200);
    check("yyyy-MM-ddXXX", "2019-08-27+01:30", 1_566_858_600_000);
    check("yyyy-MM-ddXXX", "2019-08-27z", 1_566_864_000_000);
    check("yyyy-MM-ddZ", "2019-08-27-0730", 1_566_891_000_000);
    check("yyyy-MM-dd O", "2019-08-27 GMT+8", 1_566_835_200_000);
    check("yyyy-MM-dd OOOO", "2019-08-27 gmt+08:00", 1_566_835_200_000);
    check("yyyy-MM-dd z", "2019-08-27 PST", 1_566_889_200_000);
    check("yyyy-MM-dd zzzz", "2019-08-27 central european summer time", 1_566_856_800_000);
    check("yyyy-MM-dd VV", "2019-08-27 europe/paris", 1_566_856_800_000);
    check("yyyy-MM-dd VV", "2019-08-27 +02:00", 1_566_856_800_000);
    check("yyyy-MM-dd z", "2019-08-27 EST", 1_566_878_400_000);
    check("yyyy-MM-dd z", "2019-08-27 UTC+02:00", 1_566_856_800_000);
    check("yyyy-MM-dd VV", "2019-08-27 Z", 1_566_864_000_000);
    check("d MMM yyyy", "5 sep 2021", 1_630_800_000_000);
    check("d MMMM yyyy", "5 SEPTEMBER 2021", 1_630_800_000_000);
    check("E, d MMM yyyy", "Sun, 5 Sep 2021", 1_630_800_000_000);
    check("hh:mm a", "01:30 pm", 48_600_000);
    check("hh:mm", "01:30", 5_400_000);
    check("K a", "0 PM", 43_200_000);
    check("h a", "12 AM", 0);
    check("kk:mm", "24:10", 600_000);
    check("HH:mm", "24:00", 86_400_000);
    check("H", "007", 25_200_000);
    check("mm:ss", "10:20", 620_000);
    check("yyyy-DDD", "2021-248", 1_630_800_000_000);
    check("D", "200", 17_193_600_000);
    check("yyyy-MM-dd", "2021-02-31", 1_614_470_400_000);
    check("MM-dd", "03-01", 5_097_600_000);
    check("yyyy", "2021", 1_609_459_200_000);
    check("yyyy", "+12021", 317_178_979_200_000);
    check("uuuu", "-0005", -62_324_985_600_000);
    check("y", "5", -62_009_366_400_000);
    check("yyyy G", "0005 BC", -62_293_449_600_000);
    check("yyyy-MM-dd[ HH:mm[:ss]]", "2021-09-05", 1_630_800_000_000);
    check("yyyy-MM-dd[ HH:mm[:ss]]", "2021-09-05 10:20", 1_630_837_200_000);
    check("yyyy-MM-dd[ HH:mm[:ss]]", "2021-09-05 10:20:30", 1_630_837_230_000);
    check("yyyy-M-d H:m:s", "2021-9-5 1:2:3", 1_630_803_723_000);
    check("ss.SSSSSS", "05.123456", 5_123);
    check("ss.n", "05.123", 5_000);
    check("A", "3600000", 3_600_000);
    check("N", "3600000000000", 3_600_000);
    check("ppppH", "   7", 25_200_000);
    check("HHmm", "1230", 45_000_000);
    check("Hmm", "930", 34_200_000);
    check("Hmm", "1230", 45_000_000);
    check("yyyy'é'", "2021É", 1_609_459_200_000);
    check("dd/MM/yyyy HH:mm VV", "28/03/2021 02:30 Europe/Paris", 1_616_895_000_000);
    check("dd/MM/yyyy HH:mm VV", "31/10/2021 02:30 Europe/Paris", 1_635_640_200_000);
    check("XXXXX", "+01:02:03", -3_723_000);
    check("X", "+0130", -5_400_000);
    check("QQQ yyyy", "Q2 2021", 1_609_459_200_000);
    check("YYYY-MM-dd", "2021-03-04", 5_356_800_000);
    check("L/d", "3/4", 5_356_800_000);
    check("S", "5", 500);
    check("EEE", "Tue", 0);
    check("MMMMM", "S", 20_995_200_000);
    check("yyyy-MM-dd VV", "2019-08-27 UT", 1_566_864_000_000);
    check("yyyy-MM-dd z", "2019-08-27 PT", 1_566_889_200_000);
}

#[test]
fn what_java_does_not_read_is_refused() {
    let check = |pattern: &str, text: &str, want: &str| {
        let got = JavaPattern::parse(pattern).unwrap().parse_moment(text, &Zone::UTC).unwrap_err();
        assert_eq!(got, format!("`{text}` cannot be read: {want}"), "{text} by {pattern}");
    };
    check("yyyy-MM-dd'T'HH:mm:ss.SX", "2019-08-27T13:31:09.2+01:00", "the pattern ends before character 25");
    check("yyyy-MM-ddxx", "2019-08-27Z", "it leaves the pattern at character 11");
    check("d MMM yyyy", "5 Sept 2021", "it leaves the pattern at character 6");
    check(
        "E, d MMM yyyy",
        "Mon, 5 Sep 2021",
        "its day of the week, of the month and of the year contradict each other",
    );
    check("KKh", "001", "it says two different hours");
    check("HH:mm a", "13:10 AM", "it says two different hours");
    check("HH:mm A", "13:10 5", "its hours, minutes and seconds contradict each other");
    check("HH.s", "24.1", "the hour 24 is midnight only");
    check("h a", "13 AM", "the hour is 13, which is not from 0 to 12");
    check("HH:mm", "24:01", "the hour 24 is midnight only");
    check("HH", "7", "it leaves the pattern at character 1");
    check("yyyy-DDD", "2021-366", "2021 has no day 366");
    check("yyyy-MM-dd", "2021-02-32", "the day of the month is 32, which is not from 1 to 31");
    check("MM-dd", "02-29", "month 2 of 1970 has no day 29");
    check("yyyy", "12021", "it leaves the pattern at character 1");
    check("yyyy", "-0005", "the year is -5, which is not from 1 to 999999999");
    check("yyyy", "0000", "the year is 0, which is not from 1 to 999999999");
    check("yyyy-MM-dd[ HH:mm[:ss]]", "2021-09-05 10", "the pattern ends before character 11");
    check("ppppH", "7", "it leaves the pattern at character 1");
    check("yyyy-MM-dd yyyy", "2021-01-01 2022", "it leaves the pattern at character 12");
    check("HH:mm:ss,SSS", "10:20:30,123 ", "the pattern ends before character 13");
    check("XX", "+01", "it leaves the pattern at character 1");
}

#[test]
fn patterns_that_are_none_are_refused() {
    let check = |pattern: &str, want: &str| {
        let got = JavaPattern::parse(pattern).map(|_| String::new()).unwrap_or_else(|error| error);
        let want =
            if want.is_empty() { String::new() } else { format!("invalid date or time pattern `{pattern}`: {want}") };
        assert_eq!(got, want, "{pattern}");
    };
    check("yyyyb", "`b` is not a letter of patterns; write text in single quotes");
    check("yyyy]", "`]` without `[` before it");
    check("yyyy'", "a single quote is not closed");
    check("MMMMMM", "too many letters: `MMMMMM`");
    check("ddd", "too many letters: `ddd`");
    check("SSSSSSSSSS", "too many letters: `SSSSSSSSSS`");
    check("{", "`{` is reserved; write it in single quotes");
    check("ZZZZZZ", "too many letters: `ZZZZZZ`");
    check("OO", "`O` is written once or four times");
    check("V", "the id of a zone is `VV`");
    check("aa", "too many letters: `aa`");
    check("p", "after `p` the letter of what is padded must follow");
    check("p-", "after `p` the letter of what is padded must follow");
    check("zzzzz", "too many letters: `zzzzz`");
    check("nnn", "");
    check("[yyyy", "");
    check("[]yyyy", "");
    check("B", "the letter `B` is not there yet");
}

#[test]
fn zones_are_known_by_id_offset_and_abbreviation() {
    let check = |id: &str, want: &str| {
        let got = Zone::parse(id).map_or_else(|_| "none".to_owned(), |zone| zone.id());
        assert_eq!(got, want, "{id}");
    };
    check("UTC", "UTC");
    check("Z", "Z");
    check("+2", "+02:00");
    check("+02", "+02:00");
    check("+0230", "+02:30");
    check("-02:30", "-02:30");
    check("+02:30:15", "+02:30:15");
    check("+023015", "+02:30:15");
    check("GMT+2", "+02:00");
    check("UTC-01:00", "-01:00");
    check("Europe/Paris", "Europe/Paris");
    check("PST", "America/Los_Angeles");
    check("-18", "-18:00");
    check("+19", "none");
    check("+0260", "none");
    check("+2:30", "none");
    check("Nowhere", "none");
    check("", "none");
}

#[test]
fn dates_and_times_are_read_whole() {
    let date = |pattern: &str, text: &str| JavaPattern::parse(pattern).unwrap().parse_date(text);
    let time = |pattern: &str, text: &str| JavaPattern::parse(pattern).unwrap().parse_time(text);
    assert_eq!(date("yyyy-MM-dd HH:mm", "1970-01-11 10:20"), Ok(10));
    assert_eq!(date("yyyy-MM-dd HH", "1970-01-11 24"), Ok(11));
    assert!(date("yyyy-MM", "1970-01").is_err());
    assert_eq!(time("HH:mm:ss.SSS", "00:01:05.250"), Ok(65_250));
    assert_eq!(time("HH", "11"), Ok(39_600_000));
    assert!(time("hh", "11").is_err());
    assert!(time("HH.ss", "11.10").is_err());
    assert!(time("HH dd", "11 10").is_err());
}
