//! Tests of verbs that need no daemon: `completions`, `man`, `doctor`, the help.

use std::path::Path;
use std::process::Command;

use crate::command;

fn printed(args: &[&str]) -> String {
    let output = command(Path::new("/nonexistent"), args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn completion_scripts_complete_verbs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        assert!(
            script.contains("ppeek") && script.contains("socket"),
            "{shell}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("monitorctl.bash");
    std::fs::write(&file, printed(&["completions", "bash"])).unwrap();
    // Completes `monitorctl ppe<Tab>` in bash.
    let script = format!(
        "source {}; COMP_WORDS=(monitorctl ppe); COMP_CWORD=1; _monitorctl monitorctl ppe monitorctl; \
         echo ${{COMPREPLY[@]}}",
        file.display()
    );
    let completed = Command::new("bash")
        .args(["--norc", "-c", &script])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout), "ppeek\n");
}

#[test]
fn the_manual_has_a_page_for_each_verb() {
    let page = printed(&["man"]);
    assert!(
        page.contains(".SH \"EXIT STATUS\"") && page.contains("no such connection"),
        "{page}"
    );
    let dir = tempfile::tempdir().unwrap();
    printed(&["man", "--dir", dir.path().to_str().unwrap()]);
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let help = printed(&["--help"]);
    let verbs = help
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    for line in verbs
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
    {
        let verb = line.split_whitespace().next().unwrap();
        assert!(
            verb == "help" || names.contains(&format!("monitorctl-{verb}.1")),
            "{verb}: {names:?}"
        );
    }
    assert!(names.contains(&"monitorctl-extcap-install.1".to_owned()));
    let ppeek = std::fs::read_to_string(dir.path().join("monitorctl-ppeek.1")).unwrap();
    assert!(
        ppeek.contains("monitorctl ppeek") || ppeek.contains("monitorctl\\-ppeek"),
        "{ppeek}"
    );
}

#[test]
fn doctor_names_a_missing_interface_with_its_cure() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("monitord.toml");
    std::fs::write(
        &config,
        "[capture]\nmode = 'mirror'\ninterfaces = ['absent0']\n",
    )
    .unwrap();
    let socket = dir.path().join("socket");
    let args = ["doctor", "--config", config.to_str().unwrap()];
    let output = command(&socket, &args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains("PROBLEM  absent0: state"), "{text}");
    assert!(text.contains("-> correct capture.interfaces"), "{text}");
    let output = command(&socket, &["--json", "doctor", "lo"])
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let kernel = findings
        .iter()
        .find(|finding| finding["check"] == "kernel")
        .unwrap();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(
        kernel["found"].as_str().unwrap().contains(release.trim()),
        "{kernel}"
    );
    assert!(
        findings
            .iter()
            .any(|finding| finding["check"] == "lo: path"),
        "{report}"
    );
}
