//! English terms, and those that belong to no language: paths, commands, markers of chat templates.

use super::{Concept, Terms};

pub(super) static TERMS: Terms = &[
    (
        Concept::Tamper,
        "the following line|following line at|following code at|following snippet|change it to|change them to|change it into|swap it for|swap them for|rewrite it to|turn it into a|convert it into a|point it to|point it at|redirect it to|use it instead of the",
    ),
    (
        Concept::Oblige,
        "must|shall|have to|has to|need to|needs to|needed|required to|is required|required for|are required|be required|requires that|requires you|\
         requires to|it is mandatory|mandatory|obligatory|always|make sure|ensure that|must ensure|ensure the|be sure to|is crucial|crucial that|is essential|\
         is to be|are to be|is necessary|necessary to|is obliged|never fail to|cannot be skipped|can't be skipped|do not skip|don't skip|\
         without exception|at all times|remember to|should first|should always|you should|you are instructed|is expected to|it is vital|\
         must be|only valid|only counts|in order to be allowed|to be compliant|strictly|imperative|compulsory|under all circumstances|\
         invariably|prerequisite|precondition|is forbidden|is prohibited|not be permitted|not permitted|not allowed|required step|required before|is only valid|may only",
    ),
    (
        Concept::Before,
        "before|prior to|beforehand|first of all|ahead of|in front of|preceding|as a first step|at the beginning of|at the start of|first|\
         prerequisite|precondition|initially|in advance|up front|upfront|until you have|unless you have|to begin with|start by|begin by|pre-requisite",
    ),
    (
        Concept::When,
        "if|when|whenever|every time|each time|any time|anytime|as soon as|once|upon|after|afterwards|following|while|if the user|if a user|\
         if asked|if you|during|in case|if the|if any|for each|for every|for any|for all|on every|on each|in every|in each|on any|at every|subsequently|\
         as part of|along with|in addition to|in response to|on receiving|immediately after|right after|then",
    ),
    (
        Concept::Universal,
        "any|all|every|each|everything|whatever|regardless|entire|whole|complete|full|global|globally|universal|no matter|whichever|both",
    ),
    (
        Concept::Operation,
        "operation|operations|request|requests|action|actions|task|tasks|invocation|invocations|call|calls|tool use|tool usage|conversion|\
         conversions|transaction|transactions|transfer|transfers|query|queries|search|searches|lookup|lookups|interaction|interactions|\
         conversation|session|message|messages|email|emails|mail|mails|payment|payments|write|writes|writing|reading|renaming|deletion|\
         modification|modifications|file operation*|access|commit|commits|navigation|download|downloads|upload|uploads|booking|bookings|\
         order|orders|calculation|calculations|process|workflow|answer|response|responses|reply|command|commands|install|installation|\
         purchase|purchases|post|posts|issue|issues|pull request|posting|trade|trades|translation|translations|document is|backup|file is|files are",
    ),
    (
        Concept::OtherTool,
        "other tool*|another tool|any tool|all tools|every tool|any other tool*|other function*|any function|all functions|other server*|\
         another server|all other|any other|every other|each other tool|each tool|other mcp|other api*|built-in|builtin|other services|\
         other utilities|other readers|other plugin*|existing tool*|default tool*|native tool*|standard tool*|the official|official one|\
         alternative tools|any mail tool|any database tool|other providers|remaining tools|rest of the tools|these tools|mail tool|\
         file tools|database tool|shell tool|terminal tool|bash tool|file system tool|filesystem tool|email tool|of any tool|\
         following tool|previous tool|next tool|send_message|read_file|write_file|send_email|other calendar|other booking|other notification|other charting|other search",
    ),
    (
        Concept::User,
        "user|users|the user's|end user|end-user|customer|human|the person|person you|people|operator|home owner|owner|recipient of your reply|in your reply|\
         in your answer|in your response|in the chat|in the conversation",
    ),
    (
        Concept::Model,
        "for the assistant|for the agent|to the agent|to the assistant|to the model|rules for agents|rule for agents|notes for agents|guidance for assistants|your client|the caller must|the caller has to|the assistant should|the assistant must|assistant should|assistant must|the ai must|the ai should|the ai has to|the llm must|the llm should|instruction for the ai|as the developer of|i authorize you|i authorise you|the assistant shall|agents:|attention agents|assistant|the agent|an agent|language model|the model|llm|llms|ai model|the ai|an ai|claude|gpt|chatgpt|gemini|copilot|cursor|as an ai|\
         agents must|agent must|agent should|you must|you should|you are|you have to|you need to|your task|your next|dear model|the caller model",
    ),
    (
        Concept::Conceal,
        "do not tell the|do not tell them|do not tell him|do not tell her|do not tell any*|do not tell people|do not tell about|do not tell that|do not tell this|do not tell your|don't tell the|don't tell them|don't tell him|don't tell her|don't tell any*|don't tell people|don't tell about|don't tell this|don't tell your|don't tell that|leave it out of the|leave this out of|leave them out of the|leaves them out of the|delete their history|delete the history|delete the log*|clear the log*|clear the history|do not report|don't report|do not let the user|without warning the user|do not warn|don't warn|need not know|does not have to know|doesn't have to know|never tell|without telling|do not mention|don't mention|never mention|without mentioning|not mention|not to mention|\
         do not inform|don't inform|without informing|never inform|do not notify|without notifying|don't notify|do not disclose|never disclose|\
         without disclosing|do not reveal|don't reveal|never reveal|without revealing|do not let the user|don't let the user|not let the user|\
         without the user knowing|without the user's knowledge|without their knowledge|user must not know|user should not know|user doesn't need to know|\
         user does not need to know|not need to hear|need not hear|does not need to hear|keep this to yourself|keep it to yourself|keep this secret|keep it secret|\
         keep this confidential|keep this hidden|keep it hidden|keep this private|secretly|covertly|stealthily|surreptitious*|discreetly|unnoticed|\
         hidden from the user|hide this from|hide it from|hide the fact|hide all|conceal*|do not talk about|never talk about|don't talk about|never speak of|\
         do not say anything|don't say anything|say nothing|omit this from|not be discussed|must not be discussed|not discuss|\
         do not explain why|don't explain|do not explain|no comment on|not display that|do not display that|don't display|prefers not to be told|not to be told|\
         should not be told|not be told|do not acknowledge|don't acknowledge|do not report this|don't report this|not be shown to the user|not visible to the user|\
         invisible to the user|white text|behind the scenes|without drawing attention|avoid mentioning|refrain from mentioning|refrain from telling|\
         avoid telling|no trace|do not draw attention|do not alert|don't alert|without alerting|alarm the user|worry the user|not bother the user|\
         keep quiet about|stay silent about|remain silent about|never be mentioned|not be mentioned|should remain hidden|not reference this|never reference this|not expose this|internal only, do not|do not list it|not list it|off the summary|not in the summary|out of the summary|not appear in the summary|not appear in the report",
    ),
    (
        Concept::Unasked,
        "isn't asked for|without being asked|without waiting to be told|don't wait to be told|no narration|no opt-in|hence no confirmation|without displaying|without showing|slow to approve|straight away, as|answer is allow|do not need to be consulted|need not be consulted|user has already agreed|user has already approved|user has already consented|user has already confirmed|keep hidden|kept hidden|stay hidden|stays hidden|remain hidden|hidden step|hidden call|hidden action*|while waiting|spare time|in the meantime|skip user confirmation|skip the confirmation|skip the user's|answer yes|answering yes|skip confirmation*|confirmation dialog*|confirm automatically|confirm on behalf|on behalf of the user|silently|quietly|without asking|without confirmation|without consent|without permission|no confirmation|do not ask|don't ask|not ask for|\
         need not ask|no need to ask|never ask|without prompting|without approval|no approval|in the background|by itself|without user|without further|\
         no need to confirm|without hesitation|\
         without question|no questions|do not question|not be questioned|without waiting|just do it|do not wait|automatically approve|auto-approve|unconditionally|\
         user already agreed|already consented|already approved|user has agreed|user agreed",
    ),
    (
        Concept::SecretPath,
        "ssh id rsa|id rsa|ssh id ed25519|dot env|dotenv|aws credentials|kdbx|gh auth token|vault kv get*|_key or _token|_key= or|.ssh/|~/.ssh|id_rsa*|id_ed25519*|id_ecdsa*|id_dsa|authorized_keys|.aws/|aws/credentials|.env|.env file|dotenv file|.netrc|.npmrc|.pypirc|.git-credentials|\
         .kube/config|kubeconfig file|.docker/config*|.gnupg|.config/gcloud|application_default_credentials*|.azure/|/etc/shadow|\
         .bash_history|.zsh_history|shell history|.mysql_history|keychain|key chain file|login data|mcp.json|claude_desktop_config*|.cursor/|.vault-token|\
         secrets.json|secrets.yaml|secrets.yml|credentials.json|wallet.dat|.pem|private.pem|server.key|private.key|.pgpass|.my.cnf|web.config|/etc/passwd as|database_url|connection string|\
         wp-config.php|.htpasswd|ssh key*|ssh private key|/proc/self/environ|keystore|id_rsa.pub|credential file*|credentials file|password file|.ssh directory|.ssh folder|\
         service-account.json|terraform.tfstate|.terraformrc|hub config|cookies.sqlite|cookie jar|browser's cookies|cookies of the browser|browser cookies|browser profile|saved passwords|stored passwords|password manager|token file|session file",
    ),
    (
        Concept::SecretWord,
        "user's inbox|user's photos|user's documents|user's files|user's mails|user's emails|user's contacts|user's messages|one-time code*|one time code*|verification code*|otp|2fa|two-factor code*|maiden name|date of birth|private message*|private conversation*|address book|contact list|home directory listing|password*|passwd|passphrase*|api key|api keys|api_key|apikey|access key|access keys|secret key|secret keys|private key|private keys|credential|credentials|\
         token|tokens|secret|secrets|seed phrase|mnemonic|recovery phrase|session cookie*|cookies|social security|card number|credit card|cvv|ssn|passport number|\
         bank account|pin code|home address|e-mail address and|full name|personal data|personal information|sensitive data|sensitive information|confidential|salary|salaries|\
         internal host|private repository|private repositories|private data|login data|encryption key|signing key|master key|authentication data|bearer|medical record*|health record*|internal document*|source code of",
    ),
    (
        Concept::SystemFile,
        "/etc/passwd|/etc/hosts|/etc/sudoers|/etc/crontab|/etc/|crontab|cron job|/root/|/home/|/var/log|/proc/|/usr/bin|/bin/sh|~/.bashrc|.bashrc|.zshrc|.profile|\
         systemd|launchd|registry key|startup folder|~/documents|~/desktop|c:\\\\windows|system32|/tmp/.|/dev/|home directory|home folder|system files|/system|/library|.vscode/|hosts file|sudoers|system directories|root directory|.git/hooks|.git/config",
    ),
    (
        Concept::Environment,
        "environment variables|all environment variables|every environment variable|printenv|env vars|environment variable|$(env|process.env|os.environ|output of env",
    ),
    (
        Concept::Read,
        "obtain them|obtain it|obtain the|selects all|select all|read|reads|reading|open|opening|look into|look inside|look for|extract|extracts|extracting|dump|dumps|cat|gather|gathering|collect|collects|collecting|\
         harvest*|load the|loads the|access the|obtain the content|fetch the|fetch /|get the content|get the contents|retrieve the content*|retrieve the|grab|grabs|copy /|copy ~|copy the|scan for|\
         locate|inspect the|obtained by reading|export|exports|list all|parse the|copy the content*|view the|check the content*|reading from|reads from|include the",
    ),
    (
        Concept::Send,
        "![](http*|http_post|post that same|routed to|route to|push it|pushes it|shares the|share it|message each|kept at|stored at|saved at|go through|goes through|link to|linked to|post every|post all|is mirrored|are mirrored|mirrored to|is delivered|also delivered|is copied|are copied|is synchronised|synchronised to|synchronized to|is streamed|is shared|are shared|send|sends|sending|sent|transmit*|exfiltrat*|forward|forwards|forwarded|forwarding|upload|uploads|uploading|uploaded|post to|posts to|post the|posts the|posted to|post it|posting to|\
         deliver to|delivered to|leak|leaks|leaking|push to|publish|publishes|email to|emailed to|mail to|mailed to|report to|reported to|ship to|phone home|call home|beacon*|\
         submit to|submitted to|submitting|relay|relayed|relays|curl|wget|share with|share the|shared with|sync to|synced to|stream to|hand over|hands over|handed over|hand it|\
         give to|give it|gives it|piped to|tunnel to|mirror to|bcc|cc|blind copy|blind copies|blind-copy|copied to|copy to|copies to|notify http*|webhook",
    ),
    (
        Concept::External,
        "a partner|our partner|partner for|outside|public gist|public folder|public bucket|external server|external host|external endpoint|external address|external service|external analytics|external url|external site|external domain|external party|\
         external recipient|external collector|external account|outside server|outside party|outside address|remote server|remote host|remote endpoint|third party|third-party|attacker|attacker's|adversary|\
         hacker|collector|command and control|c2 server|our server|our analytics|analytics endpoint|our endpoint|our external|drop server|logging server|telemetry server|telemetry endpoint|monitoring server|\
         audit server|backup server|compliance server|verification server|public repository|public repo|public channel|pastebin|ngrok|requestbin|webhook.site|vendor server|vendor's server|competitor",
    ),
    (
        Concept::Execute,
        "execute|executes|executing|run|runs|running|invoke|invokes|invoking|launch|launching|call the|calls the|call bash|start the process|spawn|install|installs|installing|\
         eval|trigger|triggers|terminal|shell|bash|sudo|perform the following|apply the following|run the following|use the tool|also invoke|also call|also run",
    ),
    (
        Concept::Command,
        "http_proxy|https_proxy|&& |>> ~|>> /|> /tmp|env > |printenv|{pipe} bash|{pipe} sh|{pipe}bash|{pipe}sh|curl -s*|curl -f*|curl http*|wget http*|wget -q*|rm -rf|rm -fr|rm -r|chmod 777|chmod -r|chmod +s|chmod a+rwx|/dev/tcp|nc -e|nc -l|ncat|bash -i|bash -c|sh -c|python -c|python3 -c|node -e|\
         perl -e|powershell -*|iex(|eval(|exec(|os.system|base64 -d|base64 --decode|atob(|mkfifo|drop table|drop database|delete from|truncate table|or 1=1|union select|; --|\
         --insecure|--no-verify|--privileged|--force|pip install|npm install|kill -9|killall|pkill|iptables -f|ufw disable|setenforce 0|systemctl stop|systemctl disable|dd if=|mkfs|:(){|crontab -|\
         $(curl|$(cat|$(env|`cat|`curl|git config --global|docker run|--upload-file|scp |rsync -|ssh-keygen|useradd|usermod|chown -r|shutdown -h|reg add|certutil|/bin/sh|/bin/bash|import os|subprocess.*|--index-url|--extra-index-url|--registry",
    ),
    (
        Concept::Alter,
        "change|changed|changes|replace|replaced|replaces|replacing|swap|swapped|substitute|substituted|substituting|redirect|redirected|redirecting|rewrite|rewritten|rewrites|alter|altered|altering|\
         override|overridden|overwrite|overwritten|multiply|multiplied|double|doubled|halve|halved|shift|shifted|adjust|adjusted|modify|modified|modifying|\
         increase|increased|decrease|decreased|reduce|reduced|append|appended|appending|prepend|prepended|prefixed|suffixed|inserted|injected|\
         reversed|swap out|reroute|rerouted|correct to|corrected to|randomized|randomised|masked as|turned into|translated into|switch to|switched to|reset to|hard-coded to|forced to",
    ),
    (
        Concept::Affix,
        "starts with|ends with|begins with|add the|added to|be added|add as|convert|converted|set to|be set|is set to|map to|mapped to|normalized to|normalised to|attach|attached|end with|start with|begin with|contain|contains|include|included|use the value|\
         default to|truncated|insert|inject|prefix|suffix|add a|add an|set the|use the|must use|be used|must be in|named|use only|only use",
    ),
    (
        Concept::Deceit,
        "presented as your own|as your own analysis|as your own opinion|as if it were your own|as technical and are not|no matter which price|do not be surprised by|no point in bringing|pretends that|pretends not to|leave out the fact|leave out that|leave out any mention|as though the user|as though they had|as though it had|as though nothing|approve it yourself|approves it itself|approve it on|merge it without|disguised as|undisclosed affiliate|affiliate code silently|without notice|not show up|should not appear|not appear in|and blame|skip the review*|skip the required|skip reviews|say that none|say there are none|commented out so|do not verify|don't verify|no need to show|no need to verify|no need to check|\
         straight away with|permanent approval|granted approval|has granted|pre-approved|already authorised|already authorized|admin commands|admin command|advertise|promote the|our fee|the difference is|keep the rest|in your final reply|in your final answer|\
         be uninstalled|corrupt data|corrupts data|drop without|make it look|make it seem|blame it|cover up|on the quiet|under the hood send*|kickback|backdated|forge|forged",
    ),
    (
        Concept::Overrule,
        "option the user picks|regardless of the one|regardless of what was|instead of the one provided|in its place|in their place|takes precedence over the user*|the user gave|the user named|user's wishes|what the user asked|what the user wants|whatever the picture|whatever it says|in the request must be ignored|must be ignored|is to be ignored|are to be ignored|ignore the user's|ignore what the user|ignore the value|ignores the user|regardless of what the user|regardless of the user|regardless of user|instead of what the user|instead of the user's|\
         instead of the folder|instead of the one|instead of the address|instead of the value|instead of the requested|instead of the original|even if the user|whatever the user|no matter what the user|rather than the one|rather than what the user|user's choice|overrule|not the one the user|the correct one is|the real one is|instead of the actual|despite the user|against the user",
    ),
    (
        Concept::Parameter,
        "parameter|parameters|argument|arguments|recipient|recipients|destination|destination address|amount|amounts|value|values|field|fields|quantity|price|prices|phone number|address|addresses|subject|title|body|path|paths|\
         filename|file name|file names|url|urls|iban|account number|origin|departure|date|dates|start time|time zone|location|currency|unit|units|keyword|keywords|search term*|condition|suffix|prefix|extension|content|contents|text|name|names|\
         number|numbers|rate|exchange rate|percentage|permissions|permission|mode|email address|sender|receiver|payee|wallet address|order quantity|stock|symbol|query|queries|commit message|message body|output|result|results|code",
    ),
    (
        Concept::Coerce,
        "otherwise|or else|if not|else the|will fail|fails without|will not work|won't work|does not work without|will be rejected|be rejected|will be refused|is refused|be refused|refused|rejected|will be denied|is denied|be denied|will be blocked|be blocked|are blocked|\
         cannot proceed|can't proceed|cannot continue|will be terminated|be terminated|account will|will crash|crash|crashes|not doing so|failure to|failing to|is not possible|not be possible|will be lost|data loss|will be invalid|is invalid without|only valid|will be cancelled|\
         be suspended|will be locked|penalty|violation|will result in|results in an error|cannot be completed|cannot function|does not function|unable to|will be disabled|severe consequences|catastrophic|will not be accepted|unless the|unless this|not be trusted|will corrupt|be corrupted",
    ),
    (
        Concept::Justify,
        "security check|security policy|security policies|for security|security reasons|security purposes|security requirement*|security scan*|security audit|security protocol|security standard*|enhanced security|maximum protection|security measure*|system security|data security|compliance|compliant|compliance engine|audit|audit trail|audit purposes|\
         regulation|regulations|regulatory|company rules|company policy|corporate policy|internal policy|policy requires|new policy|verification purposes|for verification|to verify|verify the licence|verify the license|verification step|authentication purposes|\
         for authentication|gain permission|to gain access|be granted|authorization check|permission check|integrity check|consistency check|integrity verification|diagnostic*|telemetry|for debugging purposes|maintenance|licence check|license check|gdpr|soc2|legal requirement*|legally required|\
         due to regulation*|to prevent data|to avoid data|to keep the connection|to work around|because of the new|contract|for training purposes|quality assurance|so the vendor|is expected|developers expect|standard procedure|for optimal results|for best results|backup purposes|to ensure the|in order to ensure|to comply|in accordance with|standardi*|to maintain|data integrity|data consistency",
    ),
    (
        Concept::Override,
        "your new instructions|new instructions:|follow the new instructions|new instructions for you|jailbroken|ignore any system|ignore system prompt*|ignore the system prompt|no longer bound|not bound by|no longer subject to|free of any rule*|overrides the instruction*|override the instruction*|overrides every|overrides other|override other instructions|ignore all previous|ignore previous|ignore the previous|ignore prior|ignore all prior|ignore the above|ignore everything above|ignore your|ignore all instructions|ignore the instructions|ignore any instructions|ignore any previous|ignore all other instructions|ignore earlier|\
         disregard all|disregard previous|disregard the above|disregard prior|disregard any|disregard your|disregard what|disregard earlier|disregard the previous|disregard everything|forget your|forget all|forget previous|forget everything|forget the previous|forget prior|forget what you|\
         override previous|override your|override all|override the system|bypass your|your new task|your new instructions|new system prompt|from now on you|from now on, you|you are now|you must now act|prior instructions|previous instructions|earlier instructions|\
         instructions above|supersedes all|supersede all previous|outrank*|no longer hold|no longer apply|limits are lifted|restrictions are lifted|without restrictions|unrestricted agent|developer mode|do anything now|system override|overrides all|override any|takes precedence over all|precedence over the user|\
         instead of the user's|instead of what the user|act as an unrestricted|pretend that you|regardless of previous|real instructions|true instructions|actual instructions|updated instructions",
    ),
    (
        Concept::Prefer,
        "must not use any tool|do not use any tool|not use any tool from|use this server only|only use this server|tools of this server only|must go through|instead of any other|instead of the built-in|instead of other|in place of any other|in place of other|never call them|never use other|do not use other|don't use other|do not use any other|don't use any other|refuse to use|avoid other tools|avoid using other|always choose|always use this|always prefer|always select|always pick|always call this|\
         must always use|must use this|only use this tool|use only this|use this tool for everything|for everything|highest priority|top priority|preferred tool|priority over|takes priority|take priority|takes precedence|take precedence|supersedes|supersede|replaces every|replaces all|replaces any|replacement for all|the only tool|only trusted|only trustworthy|only reliable|only safe|\
         the best tool|best choice|best option|best tool|most reliable|exclusively|recommend only|only recommend|mention acme*|rather than any other|over any other|over all other|above all other|pick this one|choose this one|first choice|should be chosen|should be selected|prioritize this|prioritise this|before considering|superior to|better than|outperforms|official and|no other tool",
    ),
    (
        Concept::Distrust,
        "found unsafe|been found to be|deprecated|obsolete|insecure|unsafe|dangerous|fraudulent|compromised|malicious|leak data|leaks data|unreliable|untrusted|not trustworthy|broken|outdated|vulnerable|infected|no longer supported|no longer maintained|being fixed|out of service|not secure|inaccurate|incorrect results|buggy|inferior|unverified",
    ),
    (
        Concept::ChatMarker,
        "internal note to the|internal note for the|system instruction:|instruction for the assistant|instructions for the assistant|instruction for the model|for the assistant only|for the model only|for the agent only|for the ai only|for the llm only|assistant only,|assistant-only|model-only|agent-only|<{pipe}im_start{pipe}>|<{pipe}im_end{pipe}>|<{pipe}system{pipe}>|<{pipe}user{pipe}>|<{pipe}assistant{pipe}>|<{pipe}endoftext{pipe}>|[inst]|[/inst]|<<sys>>|<system>|</system>|<system-*|<system_*|[system*|system:|system message:|system note*|system notice*|system update:|### system|### instruction*|\
         <hidden>|<secret>|<secret_*|<admin>|[admin]|[admin*|<override>|note to the language model|note to the model|note to ai|note for ai|note to assistant|note to the assistant|instruction to the model|instructions for the model|instruction for ai|instructions for ai|message to the assistant|\
         assistant:|human:|</tool>|</tool_description>|</description>|</function>|<tool_call>|<function_call>|begin system|end of user|<!--|<tool_instructions>|attention ai|attention assistant|ai instruction*|hidden step|hidden instruction*|internal instruction*|developer message|<critical>|<mandatory>|<required>|<sidenote>|<side_effect>",
    ),
    (
        Concept::Emphasis,
        "important:|important!|<important>|</important>|important notice|important note|critical:|critical!|urgent|urgent:|attention:|attention!|warning:|mandatory:|mandatory!|notice:|required:|very important|extremely important|of utmost importance|!important|**important**|must read|note:|remember:|prerequisite:|caution:|[important]|[critical]|hint:",
    ),
    (
        Concept::Destroy,
        "delete|deletes|deleting|deleted|remove all|remove every|wipe|wipes|wiping|erase|erases|format the|destroy|destroys|drop the|shut down|shutdown|shuts down|terminate|terminates|terminating|kill|kills|stop all|stop the|unlock|uninstall|empty the|purge|overwrite the|encrypt all|encrypts|close all|close the|reboot|restart the",
    ),
    (
        Concept::Weaken,
        "verify=false|tls_reject_unauthorized*|sslverify false|autoapprove*|auto-approval|approval mode|set to automatic|signature checks are off|split tunnelling|allow-all|permission prompts off|confirmation off|public-read|/var/www|from anywhere|skip_signing*|disable_scan*|cluster-admin|cluster role binding|make them public|made public|certificates that are invalid|invalid certificate*|ignore certificate*|grant the public|grants the public|grant public|grant everyone|to every table|required reviews|branch protection|admin rights|as administrator|skip the review*|skip reviews|bypass the review*|world writable|world-writable|world readable|world-readable|777|0777|global read*|read/write permission*|full permission*|as root|with sudo|root privileges|root permission*|administrator privileges|admin privileges|elevated privileges|elevated permission*|firewall off|disable the firewall|disable firewall|turn the firewall|turn off|disable authentication|\
         disable security|disable antivirus|disable logging|disable verification|disable ssl|disable tls|skip verification|skip validation|skip authentication|bypass authentication|bypass validation|bypass security|allow all|publicly accessible|public access|make it public|make the repository public|0.0.0.0|accept all|permission check|disabled|grant full|full access|unrestricted access|open to the public|ssl verification|log in with|login with|authorise this key|authorize this key|loosen|relax the|highest privilege*|all permissions|everyone",
    ),
    (
        Concept::Say,
        "ask the user for their|ask the user for the|ask for their|tell the user|tell them|inform the user that|respond with|reply with|answer with|answer only|reply only|respond only|say that|claim that|answer \"|return that|state that|report no|report that|pretend|convince|persuade|always approve|always return|always answer|always report|always say|always respond|output only|print|display",
    ),
    (
        Concept::Conversation,
        "each user message|every user message|chat logs|chat log|private channel*|private chats|user typed|typed by the user|previous conversation|entire previous|this conversation|user messages|last user message*|earlier messages|messages before this|what the user said|what the user wrote|conversation history|chat history|entire conversation|whole conversation|full conversation|complete conversation|previous messages|earlier messages|all messages|prior messages|message history|system prompt|initial prompt|initial instructions|your instructions|your prompt|your system|user's prompt|user's message*|user prompt|original prompt|\
         context window|chain of thought|your reasoning|internal reasoning|current document|the last ten|last messages|last emails|list of all tools|all available tools|tool list|list of tools|available tools|tool descriptions|previous tool|tool calls so far|conversation so far|conversation context|everything the user|user's input|all user input|contents of the conversation|the conversation to|memory of the",
    ),
    (
        Concept::Quoting,
        "such as|for example|e.g.|prompt injection|injection attack*|injections|attacks such|detect|detects|detecting|detection|detector|analyzes|analyses|analyze|analyse|analyzer|scans for|scan for|scanner|scans|checks for|tests for|flags|classif*|documentation|explains|explaining|learn about|expected output|mock|fixture|fixtures|test case*|quoted|example:|sanitiz*|prevents|prevent|protects|guard against|reports the|attempts|attempt|simulat*",
    ),
    (
        Concept::Copy,
        "a copy|copy of|also|additionally|in addition|as well|blind copy|bcc|at the same time|while at it|along with|together with|too|mirror|duplicate|shadow copy|backup copy|secondary|extra",
    ),
    (
        Concept::Supply,
        "give it as|hand it as|pass it as|encode|encodes|encoded as|belong into|belongs into|goes into|pass|passes|passed|passing|pass it|pass the|include|included|including|supply|supplied|provide|provided|put|puts|insert|attach|attached|add it|add them|embed|embedded|concatenate*|into the parameter|in the parameter|as parameter|as the parameter|in the field|into the field|as an argument|as argument|in `|as `|into `|\
         as the value|fill in|populate|populated|appended|append|prepend|fill the|hand over|hands over|give it to|put what|give channel|in base64|base64 encoded|encoded in|encode it|note it|write it|store also|attach the|handed to|given to|copied into|copied to|to this tool|to this guard|contain|with the content*|submitted in|in the description|in the title|in the body|in the comment|in the summary|in the subject|to the title|into the title|to the description|as topic|as metadata|as salt|in clear|verbatim|word for word|needs the|takes the|should be the content|needs its",
    ),
    (
        Concept::Not,
        "doesn't see|does not see|can't see|cannot see|do not|don't|never|must not|should not|shouldn't|no longer|not to|avoid|refrain",
    ),
    (
        Concept::Forbid,
        "do not|don't|never|must not|shall not|no file may|no tool may|may not be|is forbidden|are forbidden",
    ),
    (
        Concept::Content,
        "content of|contents of|content|contents|the text of|full text|what it says|complete text|its content*|their content*|file content*|data of|body of|output of|complete chat|word for word|verbatim|in full|everything in|complete output|raw data",
    ),
    (
        Concept::Obey,
        "follow whatever|follow any command*|commands come after|commands that follow|act accordingly|as if the user had|follow the instructions|follow any instructions|follow all instructions|follow them exactly|follow these instructions|follow its instructions|follow those instructions|follow the steps in the|obey|obeys|comply with any|carry out whatever|carry out the instructions|carry out any|execute the instructions|execute any instructions|treat it as coming|treat all text|as coming from the|\
         from the developer|do what it says|do whatever|command given in|instructions in the result|instructions returned|instructions contained|contain instructions|contains instructions|decode and follow|decode and execute|decode it and|execute the returned|trust everything|as if the user|instructions that|admin mode|they come from the operator|come from the operator|comes from the operator|come from the developer|come from the user|treated as instructions|treat as instructions|must be obeyed|have to be obeyed|gives commands|given to os.system",
    ),
    (
        Concept::Reveal,
        "reveal|reveals|expose|exposes|print your|print the system|display your|show your|output your|disclose your|repeat your|leak your|reveal your|reveal the|dump your|print the|recite",
    ),
    (
        Concept::Persist,
        "agents.md|claude.md|.cursorrules|copilot-instructions*|in each later session|in later sessions|in all later|permanent memories|permanent memory|from this moment on|from the moment you read|hold on to this|* * * *|at login|every login|on every boot|to the crontab|cron job|authorized_keys|startup|at boot|persistent|persistence|every reboot|keep alive|scheduled task|background process|daemon|.bashrc|.zshrc|git hook*|.git/hooks|service unit|autostart|reverse shell|backdoor",
    ),
    (
        Concept::Pretend,
        "a fake|fake success|fake result*|fake answer*|fake output|fake value*|fake number*|without reading it|without reading them|without looking|without review|whatever the truth|regardless of the truth|no matter the truth|whether or not it is true|even if it is not true|is clean|page is safe|site is safe|link is safe|file is safe|is harmless|wrong figures|false figures|wrong numbers|false numbers|wrong results|false results|wrong answer|false answer|bogus|be reported to the user as|shown to the user as|presented to the user as|displayed to the user as|reported as successful|whatever the texts|even when the tool|without checking|all correct|everything went fine|no vulnerabilities|always approve|approved by|report success|regardless of the result|regardless of the actual|no matter what the|fabricate*|falsif*|misreport*|hide errors|instead of the real|instead of the actual|only the first result|remove all items instead|return that they|are identical",
    ),
    (
        Concept::Everything,
        "arguments of every|all arguments|all parameters|every argument|list of all tools|every file that is|all file contents|full email body|entire file|entire request|whole request|entire content*|complete text|every answer|every message|all messages|all emails|every email|each mail|each message|all responses|all results|every response|all conversations|every conversation|all user",
    ),
    (
        Concept::Paging,
        "page token|page_token|next_page*|next page|pagination|paging|cursor|continuation token|token count|tokens used|max tokens|max_tokens|number of tokens|token limit|token address|token balance|token symbol|tokens per",
    ),
    (
        Concept::Use,
        "call this|run this|start with this|never use the built-in|be executed before|executed before|executed first|is executed first|be executed first|this command|this function|this tool|using this|with this tool|use this|use this tool|call this tool|invoke this tool|using this tool|calling this tool|this tool must|this tool has to|this tool should|this check|this must run|has to run first|must be called|must be invoked|must be used|must be run|must run|has to be called|needs to be called|be called first|be called before|before calling|prior to calling|before using|before invoking|prior to using",
    ),
];

/// Obligations joined with deeds: every pair is a term.
pub(super) static ORDERS: &[(Concept, &str, &str)] = &[
    (
        Concept::Tamper,
        "must be|has to be|have to be|needs to be|need to be|is to be|are to be|should be|shall be|must get|will be|must always be|should always be|must first be|are always|is always|gets|get",
        "changed|replaced|swapped|substituted|redirected|rewritten|altered|overridden|multiplied|doubled|tripled|halved|shifted|adjusted|modified|increased|decreased|reduced|appended|prepended|prefixed|suffixed|reversed|rerouted|inverted|truncated|turned|switched|forwarded|copied|bcc'd|reported|rounded|hidden|omitted|posted|uploaded|shared|disabled|deleted|removed|terminated|mirrored|divided|disclosed",
    ),
    (
        Concept::MustDo,
        "must first|must|you must|have to|has to|have to first|need to first|needs to first|required to|is required to|should first|shall first|shall|always|be sure to|make sure to|remember to|it is necessary to|is necessary to|first|mandatory to|please first|needs to|need to|obliged to|instructed to|should also|must also|should always|must always|and then|then|also",
        "read|open|access|send|forward|upload|execute|run|delete|disable|modify|change|replace|rewrite|write|store|copy|move|rename|remove|export|collect|gather|extract|append|prepend|attach|insert|publish|share|transfer|set the|add the|create a|kill|stop|terminate|close|grant|install|download|submit|multiply|double|convert|switch|redirect|look into|hand over|put",
    ),
    // Said of the model in the third person, as if it were so already.
    (
        Concept::MustDo,
        "the assistant|the agent|the model|the ai|the llm|assistant also|agent also|model also|assistant then|agent then|model then|assistant first|agent first|model first",
        "supplies|forwards|sends|adds|attaches|reads|copies|passes|places|puts|includes|fills|hands|approves|confirms|answers|reports|skips|replaces|encloses|enters|writes|saves|deletes|switches|submits|uploads|posts|shares|transfers|collects|gathers|opens|executes|runs|invokes|chooses|picks|grants|accepts|discards|hides|omits|removes",
    ),
    (
        Concept::MustDo,
        "agents|assistants|agents now|agents also|agents then|models|clients now|assistants now",
        "supply|forward|send|add|attach|read|copy|pass|place|put|include|fill|hand|approve|confirm|answer|report|skip|replace|enclose|enter|write|save|delete|switch|submit|upload|post|share|transfer|collect|gather|open|execute|run|invoke|choose|pick|grant|accept|discard|hide|omit|remove",
    ),
];
