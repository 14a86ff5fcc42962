// The host's view: an AXI4-Lite slave with the Vitis ap_ctrl_hs registers, arguments, status and counters.
// Does: start, done (clears on read), idle, ready (clears on read), auto restart; interrupt enables and
// status (write 1 to toggle); arguments; status, error address, halt code and counters, read only.
// Does not: count or decide anything. Registers that do not exist read as 0 and ignore writes.
// Latency: address and data of a write are each taken when they come and no other is held, the register changes in
// the cycle after the later of them; a read is answered in the next cycle; one of each at a time. All readies and
// valids are registers. start_o is high for one cycle; with auto restart again one cycle after done_i.
// Offsets: vla_isa.registers. Bases are multiples of 4096, their low bits stay zero; data_bases_o and weight_bases_o
// change at start_o only, so the next run's may be written while a run is on, like START_PACKET.
`default_nettype none
`include "vla_isa.vh"
module vla_control (
  input  wire         clk_i,
  input  wire         rst_i,
  // AXI4-Lite
  input  wire         s_axi_awvalid,
  output wire         s_axi_awready,
  input  wire [11:0]  s_axi_awaddr,
  input  wire         s_axi_wvalid,
  output wire         s_axi_wready,
  input  wire [31:0]  s_axi_wdata,
  input  wire [3:0]   s_axi_wstrb,
  output wire         s_axi_bvalid,
  input  wire         s_axi_bready,
  output wire [1:0]   s_axi_bresp,
  input  wire         s_axi_arvalid,
  output wire         s_axi_arready,
  input  wire [11:0]  s_axi_araddr,
  output wire         s_axi_rvalid,
  input  wire         s_axi_rready,
  output wire [31:0]  s_axi_rdata,
  output wire [1:0]   s_axi_rresp,
  // machine
  output wire         start_o,
  output wire [31:0]  entry_o,
  output wire [64*`VLA_DATA_CHANNELS-1:0] data_bases_o,
  output wire [64*`VLA_WEIGHT_BASES-1:0]  weight_bases_o,
  input  wire         done_i,
  input  wire [3:0]   status_i,
  input  wire [37:0]  error_addr_i,
  input  wire [31:0]  halt_code_i,
  input  wire [64*`VLA_COUNTERS-1:0] counters_i,
  output wire         running_o,
  output wire         interrupt_o
);

  // writes: address and data wait for each other
  reg         aw_held_q;
  reg         w_held_q;
  reg  [11:0] write_addr_q;
  reg  [31:0] write_data_q;
  reg  [3:0]  write_strb_q;
  reg         b_valid_q;
  wire        write = aw_held_q && w_held_q && !b_valid_q;
  wire [11:0] write_addr = {write_addr_q[11:2], 2'd0};
  wire [31:0] write_mask = {{8{write_strb_q[3]}}, {8{write_strb_q[2]}}, {8{write_strb_q[1]}}, {8{write_strb_q[0]}}};
  wire [31:0] write_ones = write_data_q & write_mask;
  assign s_axi_awready = !aw_held_q;
  assign s_axi_wready  = !w_held_q;
  assign s_axi_bvalid  = b_valid_q;
  assign s_axi_bresp   = 2'd0;

  always @(posedge clk_i) begin
    if (rst_i) begin
      aw_held_q <= 1'b0;
      w_held_q  <= 1'b0;
    end else begin
      if (!aw_held_q) aw_held_q <= s_axi_awvalid;
      else if (write) aw_held_q <= 1'b0;
      if (!w_held_q)  w_held_q <= s_axi_wvalid;
      else if (write) w_held_q <= 1'b0;
    end
    if (!aw_held_q) write_addr_q <= s_axi_awaddr;
    if (!w_held_q) begin
      write_data_q <= s_axi_wdata;
      write_strb_q <= s_axi_wstrb;
    end
  end

  // reads
  reg         r_valid_q;
  reg  [31:0] r_data_q;
  wire        read = s_axi_arvalid && s_axi_arready;
  wire [11:0] read_addr = {s_axi_araddr[11:2], 2'd0};
  assign s_axi_arready = !r_valid_q;
  assign s_axi_rvalid  = r_valid_q;
  assign s_axi_rdata   = r_data_q;
  assign s_axi_rresp   = 2'd0;

  always @(posedge clk_i) begin
    if (rst_i) begin
      b_valid_q <= 1'b0;
      r_valid_q <= 1'b0;
    end else begin
      if (write)             b_valid_q <= 1'b1;
      else if (s_axi_bready) b_valid_q <= 1'b0;
      if (read)              r_valid_q <= 1'b1;
      else if (s_axi_rready) r_valid_q <= 1'b0;
    end
  end

  // control and interrupts
  reg       start_q;
  reg       restart_q;
  reg       running_q;
  reg       done_q;
  reg       ready_q;
  reg       global_q;
  reg [1:0] enable_q;  // bit 0 done, bit 1 ready
  reg [1:0] pending_q;

  wire       write_control = write && write_addr == `VLA_REG_CONTROL;
  wire       write_status  = write && write_addr == `VLA_REG_INTERRUPT_STATUS;
  wire       read_control  = read && read_addr == `VLA_REG_CONTROL;
  wire [1:0] toggle        = write_status ? write_ones[1:0] : 2'd0;

  assign start_o     = start_q && !running_q;
  assign running_o   = running_q;
  assign interrupt_o = global_q && pending_q != 2'd0;

  always @(posedge clk_i) begin
    if (rst_i) begin
      start_q   <= 1'b0;
      restart_q <= 1'b0;
      running_q <= 1'b0;
      done_q    <= 1'b0;
      ready_q   <= 1'b0;
      global_q  <= 1'b0;
      enable_q  <= 2'd0;
      pending_q <= 2'd0;
    end else begin
      if (write_control && write_ones[0]) start_q <= 1'b1;
      else if (done_i)                    start_q <= restart_q;
      if (write_control && write_strb_q[0]) restart_q <= write_data_q[7];
      if (start_o)     running_q <= 1'b1;
      else if (done_i) running_q <= 1'b0;
      if (done_i)            done_q <= 1'b1;
      else if (read_control) done_q <= 1'b0;
      if (done_i)            ready_q <= 1'b1;
      else if (read_control) ready_q <= 1'b0;
      if (write && write_addr == `VLA_REG_GLOBAL_INTERRUPT && write_strb_q[0]) global_q <= write_data_q[0];
      if (write && write_addr == `VLA_REG_INTERRUPT_ENABLE && write_strb_q[0]) enable_q <= write_data_q[1:0];
      pending_q <= (pending_q ^ toggle) | (done_i ? enable_q : 2'd0);
    end
  end

  // arguments; bases are words of two arrays that follow each other, the data space's first
  localparam BaseWords = 2 * (`VLA_DATA_CHANNELS + `VLA_WEIGHT_BASES);
  localparam [31:0] PageMask = 32'hFFFF_F000;
  reg  [31:0] entry_q;
  wire [32*BaseWords-1:0] bases;    // as written
  reg  [32*BaseWords-1:0] bases_q;  // of the run
  assign entry_o = entry_q;
  assign {weight_bases_o, data_bases_o} = bases_q;

  always @(posedge clk_i) begin
    if (rst_i) entry_q <= 32'd0;
    else if (write && write_addr == `VLA_REG_START_PACKET) entry_q <= (entry_q & ~write_mask) | write_ones;
    if (rst_i)        bases_q <= {32*BaseWords{1'b0}};
    else if (start_o) bases_q <= bases;
  end

  genvar n;
  generate
    for (n = 0; n < BaseWords; n = n + 1) begin : g_base
      localparam [11:0] Offset = `VLA_REG_DATA_BASE_0 + 12'd4 * n;
      localparam [31:0] Mask   = n % 2 == 0 ? PageMask : 32'hFFFF_FFFF;
      reg [31:0] word_q;
      always @(posedge clk_i) begin
        if (rst_i) word_q <= 32'd0;
        else if (write && write_addr == Offset) word_q <= ((word_q & ~write_mask) | write_ones) & Mask;
      end
      assign bases[32*n +: 32] = word_q;
    end

    if (`VLA_REG_WEIGHT_BASE_0 != `VLA_REG_DATA_BASE_0 + 8 * `VLA_DATA_CHANNELS) begin : g_check
      vla_bad_parameter_weight_bases_follow_data_bases u_bad ();
    end
  endgenerate

  // read data
  localparam [11:0] CounterEnd = `VLA_REG_COUNTER_BASE + 12'd8 * `VLA_COUNTERS;
  wire [11:0] counter_offset = read_addr - `VLA_REG_COUNTER_BASE;
  localparam [11:0] BaseEnd = `VLA_REG_DATA_BASE_0 + 12'd4 * BaseWords;
  wire [11:0] base_offset = read_addr - `VLA_REG_DATA_BASE_0;
  wire [31:0] counter_words [0:2*`VLA_COUNTERS-1];
  generate
    for (n = 0; n < 2 * `VLA_COUNTERS; n = n + 1) begin : g_word
      assign counter_words[n] = counters_i[32*n +: 32];
    end
  endgenerate

  reg [31:0] read_data;
  always @(*) begin
    case (read_addr)
      `VLA_REG_CONTROL: read_data = {24'd0, restart_q, 3'd0, ready_q, !running_q, done_q, start_q};
      `VLA_REG_GLOBAL_INTERRUPT:    read_data = {31'd0, global_q};
      `VLA_REG_INTERRUPT_ENABLE:    read_data = {30'd0, enable_q};
      `VLA_REG_INTERRUPT_STATUS:    read_data = {30'd0, pending_q};
      `VLA_REG_START_PACKET:        read_data = entry_q;
      `VLA_REG_STATUS:              read_data = {28'd0, status_i};
      `VLA_REG_ERROR_ADDR:          read_data = error_addr_i[31:0];
      `VLA_REG_ERROR_ADDR + 12'd4:  read_data = {26'd0, error_addr_i[37:32]};
      `VLA_REG_HALT_CODE:           read_data = halt_code_i;
      default: begin
        if (read_addr >= `VLA_REG_COUNTER_BASE && read_addr < CounterEnd) begin
          read_data = counter_words[counter_offset[6:2]];
        end else if (read_addr >= `VLA_REG_DATA_BASE_0 && read_addr < BaseEnd) begin
          read_data = bases[{base_offset[6:2], 5'd0} +: 32];
        end else begin
          read_data = 32'd0;
        end
      end
    endcase
  end

  always @(posedge clk_i) begin
    if (read) r_data_q <= read_data;
  end

  wire unused_bits = &{1'b0, write_addr_q[1:0], s_axi_araddr[1:0], counter_offset[11:7], counter_offset[1:0],
                       base_offset[11:7], base_offset[1:0]};

endmodule
`default_nettype wire
