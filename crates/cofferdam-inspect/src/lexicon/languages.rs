//! The terms that instructions to a model need, in other languages. Marks over letters do not matter: both sides lose them.

use super::{Concept, Terms};

pub(super) static TERMS: Terms = &[
    (
        Concept::Oblige,
        "debes|debe|tienes que|hay que|obligatorio|es necesario|asegurate|siempre|dois|devez|doit|il faut|obligatoire|toujours|veille a|musst|mussen|muss|soll|sollst|immer|unbedingt|zwingend|stelle sicher|dürfen nicht|darf nicht|voce deve|deve|devem|precisa|sempre|obrigatorio|devi|bisogna|obbligatorio|\
         должен|должны|необходимо|обязательно|нужно|всегда|требуется|必须|必須|务必|一定要|需要先|应当|應當|必ず|しなければ|する必要|てください|해야|반드시|하세요|필수|يجب|عليك|دائما|चाहिए|ज़रूर|अवश्य|पढ़ें|zorunda|gerekir|her zaman|mutlaka|malısın|moet|altijd|musisz|zawsze|należy|phải|luôn|harus|wajib|selalu",
    ),
    (
        Concept::Use,
        "此工具|该工具|這個工具|esta herramienta|cet outil|dieses werkzeug|dieses tool|esta ferramenta|questo strumento|этот инструмент|этим инструментом|このツール|이 도구|هذه الأداة|इस टूल|bu araç*",
    ),
    (
        Concept::Before,
        "antes de|antes que|primero|avant|d'abord|au prealable|bevor|vor jedem|vor jeder|zuerst|vorher|prima di|per prima cosa|antes|перед|прежде|сначала|до любого|之前|以前|首先|先读|先讀|先把|前に|まず|最初に|전에|먼저|قبل|أولا|पहले|önce|oncesinde|voordat|eerst|przed|najpierw|trước khi|sebelum|terlebih dahulu",
    ),
    (
        Concept::When,
        "cuando|cada vez|siempre que|si el usuario|quand|chaque fois|lorsque|wenn|jedes mal|sobald|quando|sempre que|ogni volta|когда|каждый раз|всякий раз|если пользователь|每次|每当|每當|当用户|當|时候|するとき|際に|たびに|때마다|할 때|경우|عند|كلما|عندما|जब|हर बार|her işlem|zaman|telkens|wanneer|kiedy|za każdym razem|khi|mỗi lần|ketika|setiap kali",
    ),
    (
        Concept::Universal,
        "cualquier|todo|todos|todas|cada|tout|toute|tous|toutes|chaque|alle|jede|jeder|jedem|jeden|qualquer|ogni|tutte|tutti|qualsiasi|любым|любой|любого|все|всех|каждый|каждым|任何|所有|全部|每个|每次|すべて|全て|あらゆる|모든|어떤|아무|أي|جميع|كل|किसी भी|सभी|हर|herhangi|her|tüm|elke|wszystkie|każdy|mọi|bất kỳ|semua|setiap",
    ),
    (
        Concept::OtherTool,
        "otra herramienta|otras herramientas|cualquier herramienta|autre outil|autres outils|tout appel|andere werkzeuge|anderen werkzeuge|andere tools|outra ferramenta|outras ferramentas|qualquer operacao|altri strumenti|altro strumento|другие инструменты|других инструментов|любым вызовом|其他工具|任何工具|所有工具|他のツール|すべてのツール|다른 도구|모든 도구|الأدوات الأخرى|أي أداة|أخرى|दूसरे टूल|किसी भी टूल|diğer araç*|herhangi bir araç",
    ),
    (
        Concept::Operation,
        "operacion|operaciones|llamada|correo|operation|appel|vorgang|aufruf|aufrufs|operacao|chamada|operazione|chiamata|операци*|вызовом|вызова|запрос*|操作|调用|請求|请求|写文件|呼び出|操作|リクエスト|작업|호출|요청|عملية|استدعاء|कॉल|işlem*|çağrı",
    ),
    (
        Concept::User,
        "usuario|utilisateur|l'utilisateur|benutzer|nutzer|anwender|utente|usuária|пользовател*|用户|用戶|使用者|ユーザー|利用者|사용자|المستخدم|उपयोगकर्ता|kullanıcı*|gebruiker|użytkownik*|người dùng|pengguna",
    ),
    (
        Concept::Conceal,
        "no se lo digas|no le digas|no digas|no lo menciones|no menciones|sin decir|sin informar|sin que el usuario|en secreto|ne le dis pas|ne dis rien|ne pas dire|ne mentionne|sans le dire|sans informer|en secret|a l'insu|sag dem benutzer nicht*|sage dem benutzer nicht*|sag dem nutzer nicht*|erwahne|nicht erwahnen|ohne den benutzer|ohne den nutzer|heimlich|verschweig*|\
         nao informe|nao diga|nao mencione|nao conte|sem avisar|sem informar|em segredo|senza dirlo|non dire|non dirlo|non menzionare|senza informare|di nascosto|не сообщай|не говори|не упоминай|не сообщайте|не говорите|тайно|незаметно|втайне|без ведома|скрой|\
         不要告诉|不要告訴|别告诉|不要提|不要通知|不得告知|勿告知|不要透露|保密|偷偷|秘密地|悄悄|瞒着|知らせないで|言わないで|伝えないで|秘密に|教えないで|内緒|報告しないで|알리지 마|말하지 마|언급하지 마|몰래|비밀로|لا تخبر|دون إخبار|سرا|لا تذكر|न बताएं|न बताएँ|मत बताओ|बिना बताए|गुप्त|söyleme|bahsetme|haber verme|gizlice|vertel het niet|niet vertellen|nie mów|potajemnie|không nói|jangan beri tahu|diam-diam",
    ),
    (
        Concept::SecretWord,
        "contrasena|contrasenas|credencial|credenciales|clave privada|claves|mot de passe|mots de passe|identifiants|cle privee|passwort|passworter|zugangsdaten|privaten schlussel|privater schlussel|senha|senhas|credenciais|chave privada|chiave privata|credenziali|парол*|ключ*|учетные данные|секрет*|密码|密碼|密钥|密鑰|凭证|憑證|私钥|令牌|パスワード|認証情報|秘密鍵|資格情報|비밀번호|자격 증명|개인 키|암호|كلمة المرور|بيانات الاعتماد|المفتاح|पासवर्ड|कुंजी|şifre|parola|wachtwoord|hasło|mật khẩu|kata sandi",
    ),
    (
        Concept::Read,
        "lee|leer|lea|abre|abrir|lis|lire|lisez|ouvre|lies|lesen|lese|offne|offnen|ler|leia|abra|leggi|leggere|apri|прочитаи*|прочти|прочесть|читать|считаи*|открои|读取|讀取|读出|阅读|打开|読み取|読んで|読み込|開いて|읽고|읽어|읽은|읽으|اقرأ|قراءة|पढ़ें|पढ़कर|oku|okuy*|lees|przeczytaj|đọc|baca",
    ),
    (
        Concept::Send,
        "envia|enviar|envie|envialo|transmite|transmets|envoie|envoyer|transmettre|sende|senden|schick*|ubermittl*|ubertrag*|enviar para|inviare|invia|manda|отправ*|переда*|перешли|发送|發送|传输|上传|传递|转发|送信|転送|アップロード|전송|보내|업로드|أرسل|إرسال|भेजें|भेजो|gönder*|stuur|wyślij|gửi|kirim",
    ),
    (
        Concept::Supply,
        "en el parametro|como parametro|dans le parametre|dans `|mitgeben|ubergib|ubergeben|als parameter|no parametro|nel parametro|как параметр|в параметр*|作为参数|作為參數|传入|填入|引数|パラメータ|매개변수|كمعامل|पैरामीटर|parametre",
    ),
    (
        Concept::Content,
        "contenido|contenu|inhalt|conteudo|contenuto|содержимо*|内容|內容|中身|내용|محتوا*|محتوى|सामग्री|içeri*|inhoud|zawartość|nội dung|isinya",
    ),
    (
        Concept::Override,
        "ignora todas las instrucciones|ignora las instrucciones|ignora instrucciones|olvida las instrucciones|olvida todas|ignore toutes les instructions|ignorez les instructions|ignore les instructions|oublie les instructions|oublie toutes|ignoriere alle|ignoriere die|vergiss alle|vergiss deine|missachte alle|ignore todas as instrucoes|ignore as instrucoes|esqueca as instrucoes|esqueca todas|ignora le istruzioni|ignora tutte le|dimentica le istruzioni|dimentica tutte|\
         игнорируи все|игнорируи предыдущ*|игнорируйте все|забудь все|забудь предыдущ*|не обращаи внимания на предыдущ*|предыдущие инструкции|忽略之前|忽略以上|忽略上述|忽略所有|忽略先前|无视之前|無視之前|忘记之前|忘掉之前|以前の指示を|これまでの指示|前の指示を無視|指示をすべて無視|指示を無視|이전 지시|이전 명령|지시를 모두 무시|지시를 무시|تجاهل جميع|تجاهل التعليمات|تجاهل كل|पिछले निर्देश|निर्देशों को अनदेखा|önceki talimat*|talimatları yok say|negeer alle|zignoruj wszystkie|bỏ qua tất cả|abaikan semua",
    ),
    (
        Concept::Conversation,
        "prompt del sistema|invite systeme|instructions systeme|systemprompt|system-prompt|prompt do sistema|prompt di sistema|системн* промпт|системный промпт|系统提示|系統提示|对话历史|聊天记录|システムプロンプト|会話履歴|시스템 프롬프트|대화 기록|موجه النظام|सिस्टम प्रॉम्प्ट|sistem istemi",
    ),
    (
        Concept::Reveal,
        "muestra|revela|affiche|montre|revele|zeige|gib aus|mostre|mostra|покажи|выведи|раскрои|输出|显示|透露|泄露|表示して|出力して|표시|출력|보여|اعرض|दिखाएं|göster",
    ),
    (
        Concept::External,
        "servidor externo|serveur externe|externen server|externer server|server esterno|внешнии сервер|внешний сервер|внешнего сервера|外部服务器|外部伺服器|外部サーバ*|외부 서버|خادم خارجي|बाहरी सर्वर|harici sunucu",
    ),
    (
        Concept::Alter,
        "cambia|cambiar|reemplaza|sustituye|modifica|change le|remplace|modifie|andere die|andere den|ersetze|ersetzen|substitua|altere|troque|sostituisci|cambia il|измени|замени|заменить|替换|替換|修改为|修改|改为|改成|置き換え|変更|바꾸|변경|교체|استبدل|غير|बदलें|değiştir*|vervang|zamień|thay thế|ganti",
    ),
    (
        Concept::Parameter,
        "destinatario|destinataire|empfanger|empfangers|importe|montant|betrag|valor|valeur|получател*|сумму|адрес|收件人|金额|金額|参数|地址|宛先|受取人|金額|引数|수신자|받는 사람|금액|المستلم|المبلغ|प्राप्तकर्ता|alıcı",
    ),
    (
        Concept::Coerce,
        "de lo contrario|si no|sinon|echouera|sonst|andernfalls|schlagt|caso contrario|senao|altrimenti|иначе|в противном случае|否则|否則|会被拒绝|拒绝|さもなければ|そうしないと|失敗し|그렇지 않으면|거부|وإلا|अन्यथा|aksi halde|yoksa",
    ),
    (
        Concept::Prefer,
        "siempre usa esta|usa siempre|utilise toujours|toujours utiliser|benutze immer|verwende immer|nutze immer|use sempre|usa sempre|всегда используи|只使用|只能使用|始终使用|优先使用|必ずこの|このツールだけ|항상 이 도구|이 도구만|استخدم دائما|हमेशा इसी|her zaman bu",
    ),
    (
        Concept::Distrust,
        "obsoletas|obsoleta|inseguro|insegura|obsolete|obsoletes|dangereux|veraltet|unsicher|gefahrlich|obsoletos|inseguros|obsoleti|устарел*|небезопасн*|опасн*|已弃用|不安全|过时|已过时|非推奨|安全ではない|더 이상 사용되지|안전하지 않|قديمة|غير آمن|असुरक्षित|güvensiz",
    ),
    (
        Concept::Execute,
        "ejecuta|ejecutar|execute la|executer|fuhre aus|ausfuhren|execute o|executar|esegui|eseguire|выполни|запусти|执行|執行|运行|実行|실행|نفذ|चलाएं|çalıştır",
    ),
    (
        Concept::Destroy,
        "elimina|borra|borrar|supprime|efface|losche|loschen|apague|exclua|elimina tutti|cancella|удали*|сотри|删除|刪除|清空|削除|삭제|احذف|हटाएं|sil",
    ),
    (
        Concept::Not,
        "nunca|jamas|jamais|niemals|nicht verwendet|nao|не используи|никогда|不要|禁止|しないで|하지 마|لا تستخدم|मत|asla",
    ),
];
